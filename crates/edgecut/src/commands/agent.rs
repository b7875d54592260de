//! `edgecut agent`: lets other machines measure on this one.

use std::net::TcpListener;
use std::path::PathBuf;

use crate::agent::{Keys, Pass, server};
use crate::cli::Global;
use crate::errors::{Failure, Result};
use crate::files;
use crate::host::Machine;

/// Options of `agent`.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  edgecut agent --listen 0.0.0.0:7411 --name pi.local
  edgecut device measure --agent pass.json --out pi4.json      (on the other machine)
  edgecut bench model.onnx --agent pass.json

Copy pass.json to the machine that asks. It holds the agent's certificate and a token: whoever has it can
run models here. The connection is encrypted, and the client accepts this agent only.")]
pub struct Args {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:7411")]
    listen: String,
    /// Name or address by which other machines know this one; repeat for more, the first is the
    /// one that the pass has
    #[arg(long, value_name = "HOST", default_value = "localhost")]
    name: Vec<String>,
    /// Folder of the private key, the certificate and the pass; made where they are missing
    #[arg(long, value_name = "DIR", default_value = "edgecut-agent")]
    keys: PathBuf,
}

/// Serves until Ctrl-C.
pub fn run(args: &Args, global: &Global) -> Result<()> {
    let mut names = args.name.clone();
    names.extend(["localhost", "127.0.0.1", "::1"].map(String::from));
    names.sort();
    names.dedup();
    let keys = Keys::of(&args.keys, &names)?;
    let listener = TcpListener::bind(&args.listen).map_err(|e| {
        Failure::input(format!("--listen {}: {e}", args.listen))
            .hint("such as 0.0.0.0:7411 for every network of this machine, port 0 for any free one")
    })?;
    let port = listener.local_addr().map_err(|e| Failure::input(e.to_string()))?.port();
    let host = match args.name[0].contains(':') {
        true => format!("[{}]", args.name[0]),
        false => args.name[0].clone(),
    };
    let url = format!("https://{host}:{port}");
    let pass = args.keys.join("pass.json");
    let (certificate, token) = (keys.certificate.clone(), keys.token.clone());
    let text = serde_json::to_vec_pretty(&Pass { url: url.clone(), certificate, token })
        .map_err(|e| Failure::input(e.to_string()))?;
    files::write_private(&pass, &text)?;
    let machine = Machine::this(crate::host::cores());
    files::print(&format!("{url} on {} ({})", machine.cpu, machine.isa));
    files::print(&format!("pass: {} (copy it to the machine that asks)", pass.display()));
    server::serve(listener, &keys, args.keys.clone(), global)
}
