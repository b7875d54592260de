//! Pictures that become the input only when the device needs it: a server gets the file, and making the
//! input of it would hold that up.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

use edgecut_graph::Tensor;

use crate::clock::Time;
use crate::edge::lock;
use crate::{EdgeError, Result};

/// Makes the model's only input of a picture's file, or says what is wrong with it.
pub type Decode = dyn Fn(&[u8]) -> std::result::Result<Tensor, String> + Send + Sync;

/// A picture as a file of JPEG or PNG.
#[derive(Clone)]
pub struct Picture {
    /// The file.
    pub file: Arc<[u8]>,
    /// How it becomes the input, of which the shape is right.
    pub decode: Arc<Decode>,
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Picture({} bytes)", self.file.len())
    }
}

/// The inputs of a request, made of its picture when they are first asked for.
pub(crate) struct Inputs {
    picture: Option<Picture>,
    made: OnceLock<std::result::Result<Vec<Tensor>, String>>,
    taken: Mutex<Option<Time>>,
}

impl Inputs {
    /// `inputs` as they are, unless there is a picture.
    pub(crate) fn new(inputs: Vec<Tensor>, picture: Option<Picture>) -> Inputs {
        let made = OnceLock::new();
        if picture.is_none() {
            let _ = made.set(Ok(inputs));
        }
        Inputs { picture, made, taken: Mutex::new(None) }
    }

    /// The inputs. The first call takes milliseconds where there is a picture.
    pub(crate) fn get(&self) -> Result<&[Tensor]> {
        let make = || {
            let Some(picture) = &self.picture else { return Ok(vec![]) };
            let began = Instant::now();
            let tensor = (picture.decode)(&picture.file)?;
            *lock(&self.taken) = Some(began.elapsed().as_nanos() as Time);
            Ok(vec![tensor])
        };
        let made = self.made.get_or_init(make).as_ref();
        made.map(Vec::as_slice).map_err(|problem| EdgeError::Request(problem.clone()))
    }

    /// Whether there is nothing left to make.
    pub(crate) fn are_made(&self) -> bool {
        self.made.get().is_some()
    }

    /// Whether the picture was found to be none.
    pub(crate) fn are_broken(&self) -> bool {
        self.made.get().is_some_and(std::result::Result::is_err)
    }

    /// How long making them took, once.
    pub(crate) fn taken(&self) -> Option<Time> {
        lock(&self.taken).take()
    }
}
