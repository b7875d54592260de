//! Options of the task.

/// Help of the task.
pub const HELP: &str = "\
Usage: cargo xtask nas-crash [OPTION...]

Runs architecture searches on nets that are judged by a formula after some milliseconds, kills their
processes (kill -9) at random moments, starts them again, and compares the histories and fronts that they
end with, byte by byte, with those of searches that nobody disturbs: once with a journal in a file and
three threads, once with a journal on a NATS server, a coordinator and three workers, of which the server
is killed, too. Searches begin until all kills are spent, with all algorithms in turn.

Needs nats-server (EDGECUT_NATS, or where programs are) for the second part.

Options:
  --kills N         kills of each part (default 100)
  --seed N          of kills and of searches (default 1)
  --evaluations N   of each search (default 60)
  --only PART       local or nats

Example:
  cargo xtask nas-crash --kills 20 --only nats
";

/// What is to be done.
pub struct Options {
    /// Kills of each part.
    pub kills: usize,
    /// Of kills and searches.
    pub seed: u64,
    /// Of each search.
    pub evaluations: usize,
    only: Option<String>,
}

impl Options {
    /// From the command line.
    pub fn parse(args: &[&str]) -> Result<Options, String> {
        let mut options = Options { kills: 100, seed: 1, evaluations: 60, only: None };
        let mut args = args.iter();
        while let Some(&option) = args.next() {
            let value = args.next().ok_or(format!("{option} needs a value"))?;
            let number = || value.parse().ok().filter(|&n| n > 0);
            let number = || number().ok_or(format!("{option}: {value} is no number above 0"));
            match option {
                "--kills" => options.kills = number()? as usize,
                "--seed" => options.seed = number()?,
                "--evaluations" => options.evaluations = number()? as usize,
                "--only" if ["local", "nats"].contains(value) => {
                    options.only = Some(value.to_string())
                }
                "--only" => return Err(format!("--only: local or nats, and not {value}")),
                _ => return Err(format!("no option {option}")),
            }
        }
        Ok(options)
    }

    /// Whether a part is asked for.
    pub fn wants(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }
}
