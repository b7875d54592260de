//! A network that a device and a server compute together. Where it is cut is no choice of the search: the
//! best cut for a link is found exactly, for each network (see [`edgecut_collab::partition`]).

use edgecut_collab::partition::{
    Conditions, Objective, Placement, Planner, Radio, StepTime, Vertices,
};
use edgecut_graph::Graph;
use serde::{Deserialize, Serialize};

use crate::errors::{Failure, Result};
use crate::settings::SearchSettings;
use crate::term;
use crate::work::split::link::LinkName;
use crate::work::split::prices::Prices;
use crate::work::split::rows::names;
use crate::work::split::times::Side;
use crate::work::split::wire::Wire;

/// What crosses is in 8 bits, as integers are, so that a cut of an integer network changes no answer.
const WIRE: Wire = Wire::Packed { bits: 8 };

/// The link, and the server behind it.
#[derive(Clone, Debug)]
pub struct Together {
    now: Conditions,
    /// How many times as fast as the device the server is.
    factor: f64,
}

/// How a network is shared. Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shared {
    /// From the picture to the answer.
    pub ms: f64,
    /// The device's computation and coding.
    pub device_ms: f64,
    /// Its bytes on the uplink, the round trip, and the server's part.
    pub away_ms: f64,
    /// Bytes on the uplink, before entropy coding.
    pub bytes: u64,
    /// What is sent: nothing, the picture, or names of tensors.
    pub sends: String,
}

impl Together {
    /// The link that the settings name; none where they name none.
    ///
    /// # Errors
    /// Where link or server are none.
    pub fn of(settings: &SearchSettings) -> Result<Option<Together>> {
        let (link, server) = match (&settings.link, &settings.server) {
            (None, None) => return Ok(None),
            (Some(link), Some(server)) => (link, server),
            _ => return Err(Failure::input("--link and --server go together")),
        };
        let wrong = |option: &str, text: &str, like: &str| {
            Failure::input(format!("{option}: '{text}' is none")).hint(format!("such as {like}"))
        };
        let now = match link.parse() {
            Ok(LinkName::Fixed([rate, rtt])) => Conditions::idle(rate, rtt),
            Ok(LinkName::Trace(_)) => return Err(wrong("--link", link, "5,40")),
            Err(problem) => return Err(Failure::input(format!("--link: {problem}"))),
        };
        match server.parse() {
            Ok(Side::Times(factor)) => Ok(Some(Together { now, factor })),
            Ok(_) => Err(wrong("--server", server, "10x")),
            Err(problem) => Err(Failure::input(format!("--server: {problem}"))),
        }
    }

    /// Nanoseconds of a bit of an element, coding and decoding, measured on this machine.
    ///
    /// # Errors
    /// None is known.
    pub fn coding(&self) -> Result<[f64; 2]> {
        Ok(Prices::estimated(WIRE, self.factor)?.ns_per_bit())
    }

    /// What results depend on beside measurements.
    pub fn digest(&self) -> String {
        format!("{:?} {}", self.now, self.factor)
    }

    /// The fastest way of `graph`, whose steps take so many milliseconds on the device.
    ///
    /// # Errors
    /// Where a shape exceeds the limits of graphs.
    pub fn share(
        &self,
        graph: &Graph,
        steps: &[(String, f64)],
        coding: [f64; 2],
    ) -> Result<Shared> {
        let step = |(name, ms): &(String, f64)| StepTime {
            name: name.clone(),
            device_ns: (ms * 1e6) as u64,
            server_ns: (ms * 1e6 / self.factor) as u64,
            picojoules: 0,
        };
        let steps: Vec<StepTime> = steps.iter().map(step).collect();
        let prices = Prices::known(WIRE, coding);
        let (vertices, problem) = Vertices::of_steps(graph, &steps, &prices)?;
        let planner = Planner::new(problem, Radio::WIFI, None);
        let best = planner.least(Objective::Latency, &self.now);
        let sends = match best.placement {
            Placement::Local => "nothing".into(),
            Placement::Raw | Placement::Picture => "the picture".into(),
            Placement::Split => names(&best, &planner, &vertices, graph).join(" + "),
        };
        let (all, own) = (best.cost.total_ns(), best.cost.device_ns);
        let ms = |ns: u64| ns as f64 / 1e6;
        let (device_ms, away_ms) = (ms(own), ms(all - own));
        Ok(Shared { ms: ms(all), device_ms, away_ms, bytes: best.cost.bytes, sends })
    }
}

impl Shared {
    /// In a line.
    pub fn words(&self) -> String {
        let [all, own, away] = [self.ms, self.device_ms, self.away_ms].map(term::milliseconds);
        match self.bytes {
            0 => format!("{all}, all on the device"),
            bytes => format!(
                "{all}: {own} on the device, which sends {} ({}), {away} away",
                self.sends,
                term::bytes(bytes)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(link: &str, server: &str) -> Result<Option<Together>> {
        let (link, server) = (Some(link.into()), Some(server.into()));
        Together::of(&SearchSettings { link, server, ..SearchSettings::default() })
    }

    #[test]
    fn what_is_no_link_or_server_is_refused() {
        assert!(matches!(asked("5,40", "10x"), Ok(Some(_))));
        for (link, server) in [("5", "10x"), ("fast", "10x"), ("5,40", "this"), ("5,40", "0x")] {
            assert!(asked(link, server).is_err(), "{link} {server}");
        }
        let alone = SearchSettings { link: Some("5,40".into()), ..SearchSettings::default() };
        assert!(Together::of(&alone).is_err() && Together::of(&SearchSettings::default()).is_ok());
    }

    #[test]
    fn the_link_decides_what_is_sent() {
        let graph = edgecut_zoo::build("mobilenet-v2-s28", &Default::default()).unwrap();
        let plan = edgecut_runtime::compile(&graph, &Default::default()).unwrap();
        let steps: Vec<(String, f64)> =
            plan.steps().iter().map(|step| (step.name.clone(), 1.0)).collect();
        let all = steps.len() as f64;
        let share = |link: &str| {
            asked(link, "10x").unwrap().unwrap().share(&graph, &steps, [1.0; 2]).unwrap()
        };
        let slow = share("0.001,0");
        assert_eq!((slow.sends.as_str(), slow.bytes), ("nothing", 0));
        assert!((slow.ms - all).abs() < 1e-6 && slow.away_ms == 0.0);
        // A link of no cost leaves a tenth.
        let fast = share("1000000,0");
        assert!(fast.bytes > 0 && fast.ms < 0.11 * all, "{fast:?}");
        // What a round trip costs more than the server saves is not paid.
        assert_eq!(share("1000000,1000").sends, "nothing");
    }
}
