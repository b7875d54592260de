//! `cargo xtask nas-crash`: searches whose processes are killed at random moments, beside undisturbed ones.

mod options;
mod part;
mod problem;
mod process;

use std::time::{Duration, Instant};

use edgecut_graph::rng::Rng;
use edgecut_search::{FileJournal, History, Problem, Record, restore};
use edgecut_search_nats::{NatsJournal, Server, remove};
use edgecut_testkit::NatsServer;

pub use options::Options;
pub use part::main as part;
use part::{Round, WORKERS};
use problem::Formula;
use process::Process;

/// Longest time between two kills, in milliseconds.
const PAUSE: usize = 300;

/// Of so many kills on NATS one takes the server.
const SERVER_SHARE: usize = 10;

/// A search that takes longer has come to a standstill.
const STANDSTILL: Duration = Duration::from_secs(180);

/// What has come of one part.
#[derive(Default)]
struct Score {
    coordinators: usize,
    workers: usize,
    servers: usize,
    searches: usize,
    evaluations: usize,
    lost: usize,
    twice: usize,
    other: usize,
}

impl Score {
    fn kills(&self) -> usize {
        self.coordinators + self.workers + self.servers
    }

    /// Compares a search that was disturbed with its undisturbed twin.
    fn judge(&mut self, round: Round, records: Vec<Record>) -> Result<(), String> {
        let problem = Formula::new(false);
        let expected = round.undisturbed()?;
        let result = |record: &Record| match record {
            Record::Result { trial, .. } => Some(*trial),
            _ => None,
        };
        let mut results: Vec<usize> = records.iter().filter_map(result).collect();
        let count = results.len();
        results.sort_unstable();
        results.dedup();
        let ended = expected.trials.iter().filter(|trial| trial.outcome.is_some()).count();
        self.searches += 1;
        self.evaluations += results.len();
        self.twice += count - results.len();
        self.lost += ended.saturating_sub(results.len());
        let same = restore(&problem, records).is_ok_and(|found| {
            found == expected && front(&problem, &found) == front(&problem, &expected)
        });
        if !same {
            let name = round.algorithm().name();
            eprintln!("search {} ({name}) ended differently", round.seed);
        }
        self.other += usize::from(!same);
        Ok(())
    }

    fn is_clean(&self) -> bool {
        self.lost + self.twice + self.other == 0
    }
}

/// The front as it would be shown, with every digit.
fn front(problem: &dyn Problem, history: &History) -> String {
    let line = |trial: usize| {
        let found = &history.trials[trial];
        format!(
            "{trial} {} {:?}\n",
            problem.space().describe(&found.proposal.genome),
            found.outcome
        )
    };
    history.front(problem).into_iter().map(line).collect()
}

/// Runs the task.
pub fn run(options: &Options) -> Result<(), String> {
    println!(
        "| journal | kill -9 | of coordinator | worker | server | searches | evaluations | lost | twice | other fronts | seconds |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut clean = true;
    for (name, disturb) in [("local", local as Disturb), ("nats", nats as Disturb)] {
        if !options.wants(name) {
            continue;
        }
        let begun = Instant::now();
        let Some(score) = disturb(options)? else { continue };
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} |",
            score.kills(),
            score.coordinators,
            score.workers,
            score.servers,
            score.searches,
            score.evaluations,
            score.lost,
            score.twice,
            score.other,
            begun.elapsed().as_secs_f64()
        );
        clean &= score.is_clean();
    }
    if clean { Ok(()) } else { Err("a search that was killed has another result".into()) }
}

type Disturb = fn(&Options) -> Result<Option<Score>, String>;

fn rounds(options: &Options) -> impl Iterator<Item = Round> + '_ {
    (options.seed..).map(|seed| Round { seed, evaluations: options.evaluations })
}

fn local(options: &Options) -> Result<Option<Score>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (mut score, mut rng) = (Score::default(), Rng::keyed(&[options.seed, 0]));
    for round in rounds(options) {
        let file = folder.path().join(format!("journal-{}", round.seed));
        let (name, numbers) = (file.to_string_lossy(), numbers(round));
        let args = ["search", &name, &numbers[0], &numbers[1]];
        let mut parts = vec![Process::start(&args, folder.path().join("log"))?];
        until_it_ends(&mut parts, None, options.kills, &mut rng, &mut score)?;
        let (_, records) = FileJournal::inspect(&file).map_err(|e| e.to_string())?;
        score.judge(round, records)?;
        if score.kills() >= options.kills {
            break;
        }
    }
    Ok(Some(score))
}

fn nats(options: &Options) -> Result<Option<Score>, String> {
    let Some(mut server) = NatsServer::start("") else { return Ok(None) };
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let (mut score, mut rng) = (Score::default(), Rng::keyed(&[options.seed, 1]));
    for round in rounds(options) {
        let (url, name, numbers) = (server.url(), format!("crash-{}", round.seed), numbers(round));
        let start = |index: usize| {
            let kind = if index == 0 { "coordinator" } else { "worker" };
            let args = [kind, &url, &name, &numbers[0], &numbers[1]];
            Process::start(&args, folder.path().join(format!("log-{index}")))
        };
        let mut parts = (0..=WORKERS).map(start).collect::<Result<Vec<_>, _>>()?;
        until_it_ends(&mut parts, Some(&mut server), options.kills, &mut rng, &mut score)?;
        score.judge(round, read_and_remove(&url, &name)?)?;
        if score.kills() >= options.kills {
            break;
        }
    }
    Ok(Some(score))
}

fn numbers(round: Round) -> [String; 2] {
    [round.seed.to_string(), round.evaluations.to_string()]
}

fn read_and_remove(url: &str, name: &str) -> Result<Vec<Record>, String> {
    let read = || {
        let connection = Server::new(url).connect()?;
        let found = NatsJournal::inspect(&connection, name)?;
        remove(&connection, name)?;
        Ok(found.map_or(vec![], |(_, records)| records))
    };
    read().map_err(|e: edgecut_search::SearchError| e.to_string())
}

/// Kills processes at random moments, until there were `kills` of all and the search has ended. The first
/// process is whoever runs it.
fn until_it_ends(
    parts: &mut [Process],
    mut server: Option<&mut NatsServer>,
    kills: usize,
    rng: &mut Rng,
    score: &mut Score,
) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        let next = Instant::now() + Duration::from_millis(rng.below(PAUSE) as u64);
        while Instant::now() < next {
            if parts[0].has_ended()? {
                return Ok(());
            }
            parts[1..].iter_mut().try_for_each(|worker| worker.has_ended().map(drop))?;
            std::thread::sleep(Duration::from_millis(1));
        }
        if begun.elapsed() > STANDSTILL {
            return Err("a search has come to a standstill".into());
        }
        if score.kills() >= kills {
            continue;
        }
        match (&mut server, rng.below(parts.len())) {
            (Some(server), _) if rng.below(SERVER_SHARE) == 0 => {
                server.restart();
                score.servers += 1;
            }
            (_, 0) => {
                parts[0].kill()?;
                score.coordinators += 1;
            }
            (_, which) => {
                parts[which].kill()?;
                score.workers += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_or_twice_is_counted() {
        let round = Round { seed: 1, evaluations: 6 };
        let expected = round.undisturbed().unwrap();
        let proposals: Vec<_> = expected.trials.iter().map(|t| t.proposal.clone()).collect();
        let ended = expected.trials.iter().enumerate();
        let result = |(trial, t): (usize, &edgecut_search::Trial)| {
            t.outcome.clone().map(|outcome| Record::Result { trial, outcome })
        };
        let results: Vec<Record> = ended.filter_map(result).collect();
        let batch = |first| Record::Batch { first, proposals: proposals.clone(), notice: None };
        let score = |results: &[Record]| {
            let mut score = Score::default();
            score.judge(round, [&[batch(0)], results].concat()).unwrap();
            (score.lost, score.twice, score.other)
        };
        assert_eq!(expected.batches, [0]);
        assert_eq!(score(&results), (0, 0, 0));
        assert_eq!(score(&results[1..]), (1, 0, 1));
        assert_eq!(score(&[&results[..], &results[..1]].concat()), (0, 1, 1));
    }
}
