//! Which processor this is.

/// The processor as the operating system names it; `unknown x86_64 processor` and the like where it
/// does not.
pub fn cpu_name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |key: &str| {
        let line = info.lines().find(|l| l.starts_with(key))?;
        let name = line.split_once(':')?.1.trim();
        (!name.is_empty()).then(|| name.to_string())
    };
    // Arm kernels give no "model name"; some give "Model" or "Hardware".
    ["model name", "Model", "Hardware"]
        .into_iter()
        .find_map(field)
        .unwrap_or_else(|| format!("unknown {} processor", std::env::consts::ARCH))
}
