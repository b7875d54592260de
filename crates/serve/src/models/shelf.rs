//! Models by name and version. A new one takes an old one's place while requests run: those that
//! have begun finish on the old.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use edgecut_oip::ModelMetadata;

use super::find::{Found, Source};
use super::load::{LoadOptions, check_name, load};
use super::model::Model;
use crate::error::{Result, ServeError};
use crate::front::{Kind, Refusal};

/// What happened to a version at a look at the files.
#[derive(Debug)]
pub enum Change {
    /// It is served, new or in place of an older one.
    Loaded {
        /// Name of the model.
        name: String,
        /// Its version.
        version: String,
    },
    /// It is no longer there.
    Removed {
        /// Name of the model.
        name: String,
        /// Its version.
        version: String,
    },
    /// It cannot be served; one that was served before stays.
    Broken {
        /// Name of the model.
        name: String,
        /// Its version.
        version: String,
        /// Why not.
        error: ServeError,
    },
}

type Versions = BTreeMap<String, Arc<Model>>;

/// The models that are served.
pub struct Shelf {
    source: Source,
    options: LoadOptions,
    models: RwLock<BTreeMap<String, Versions>>,
    /// What was found last, whether it could be loaded or not.
    seen: Mutex<BTreeMap<(String, String), Found>>,
}

impl Shelf {
    /// Nothing yet of `source`.
    pub fn new(source: Source, options: LoadOptions) -> Shelf {
        Shelf { source, options, models: RwLock::default(), seen: Mutex::default() }
    }

    /// Looks at the files, and loads what is new or has changed. One look at a time; requests go on
    /// meanwhile.
    ///
    /// # Errors
    /// Where the files cannot be listed: then everything stays as it is.
    pub fn look(&self) -> Result<Vec<Change>> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self.source.find()?;
        let mut changes = Vec::new();
        let key = |found: &Found| (found.name.clone(), found.version.clone());
        let now: BTreeMap<_, _> = found.into_iter().map(|found| (key(&found), found)).collect();
        for (name, version) in seen.keys().filter(|key| !now.contains_key(*key)) {
            self.remove(name, version);
            changes.push(Change::Removed { name: name.clone(), version: version.clone() });
        }
        for ((name, version), found) in &now {
            if seen.get(&(name.clone(), version.clone())) == Some(found) {
                continue;
            }
            let (name, version) = (name.clone(), version.clone());
            changes.push(match self.load(found) {
                Ok(()) => Change::Loaded { name, version },
                Err(error) => Change::Broken { name, version, error },
            });
        }
        *seen = now;
        Ok(changes)
    }

    fn load(&self, found: &Found) -> Result<()> {
        if !check_name(&found.name) || !check_name(&found.version) {
            let problem =
                format!("'{}', version '{}': no name for a path", found.name, found.version);
            return Err(ServeError::file(&found.file, problem));
        }
        let model = Arc::new(load(found, &self.options)?);
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        models.entry(found.name.clone()).or_default().insert(found.version.clone(), model);
        Ok(())
    }

    fn remove(&self, name: &str, version: &str) {
        let mut models = self.models.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(versions) = models.get_mut(name) {
            versions.remove(version);
            if versions.is_empty() {
                models.remove(name);
            }
        }
    }

    /// A model by name and version; without a version the newest: the largest number, else the
    /// last by name.
    ///
    /// # Errors
    /// Where there is none.
    pub fn get(&self, name: &str, version: &str) -> std::result::Result<Arc<Model>, Refusal> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let missing = |what: String| Refusal::new(Kind::NotFound, what);
        let shown: String = name.chars().take(100).collect();
        let versions = models.get(name).ok_or_else(|| missing(format!("no model '{shown}'")))?;
        let found = match version {
            "" => versions.iter().max_by_key(|(v, _)| (v.parse::<u64>().ok(), *v)).map(|(_, m)| m),
            _ => versions.get(version),
        };
        let shown_version: String = version.chars().take(100).collect();
        found
            .cloned()
            .ok_or_else(|| missing(format!("model '{shown}' has no version '{shown_version}'")))
    }

    /// What a model says of itself.
    ///
    /// # Errors
    /// As [`Shelf::get`].
    pub fn metadata(
        &self,
        name: &str,
        version: &str,
    ) -> std::result::Result<ModelMetadata, Refusal> {
        let model = self.get(name, version)?;
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        let versions = models.get(name).map(|v| v.keys().cloned().collect()).unwrap_or_default();
        Ok(model.metadata(versions))
    }

    /// All models, by name and version.
    pub fn all(&self) -> Vec<Arc<Model>> {
        let models = self.models.read().unwrap_or_else(PoisonError::into_inner);
        models.values().flat_map(|versions| versions.values().cloned()).collect()
    }
}
