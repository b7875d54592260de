//! The live page: one frame and style for both halves, with a script of their own.

/// What a backend's page shows.
#[derive(Clone, Copy, Debug)]
pub struct Page {
    /// Its title.
    pub title: &'static str,
    /// JavaScript with `NOTE`, a sentence beneath everything, and `draw(status)`, which makes elements of
    /// what [`Backend::status`](super::Backend::status) says: at least `ready`, `seconds` and `server`.
    pub script: &'static str,
}

impl Page {
    /// The page, which needs nothing but `/status.json`.
    pub(super) fn html(&self) -> String {
        let frame = include_str!("page.html");
        frame.replace("{{title}}", self.title).replace("{{script}}", self.script)
    }
}
