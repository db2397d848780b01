//! Topics by name: a view over the log's own list. Never their records.
use super::{Change, Etag, Guard, NotFound, Noun, Problem, PutTopicError};
use log_contract::{
    AlterTopicError, CreateTopicError, DeleteTopicError, Log, LogUnavailable, TopicId, TopicInfo,
    TopicName, TopicSpec,
};
use std::{
    collections::{BTreeMap, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, RwLock},
};

/// All topics. As one process owns the log, what goes through here is all that happens to them.
#[derive(Debug)]
pub struct Topics {
    log: Arc<dyn Log>,
    /// One change at a time.
    writes: tokio::sync::Mutex<()>,
    view: RwLock<View>,
}

#[derive(Debug, Default)]
struct View {
    by_name: BTreeMap<TopicName, Arc<TopicInfo>>,
    by_id: HashMap<TopicId, Arc<TopicInfo>>,
}

/// What a put did.
#[derive(Clone, Debug)]
pub struct PutTopic {
    pub topic: Arc<TopicInfo>,
    pub change: Change,
}

const SANE: &str = "nothing panics while it holds the view";

impl Topics {
    pub(super) async fn open(log: Arc<dyn Log>) -> Result<Self, LogUnavailable> {
        let topics = Self { log, writes: tokio::sync::Mutex::default(), view: RwLock::default() };
        for info in topics.log.topics().await? {
            topics.show(info);
        }
        Ok(topics)
    }

    #[must_use]
    pub fn get(&self, name: &TopicName) -> Option<Arc<TopicInfo>> {
        self.view.read().expect(SANE).by_name.get(name).cloned()
    }

    #[must_use]
    pub fn by_id(&self, id: TopicId) -> Option<Arc<TopicInfo>> {
        self.view.read().expect(SANE).by_id.get(&id).cloned()
    }

    /// Sorted by name.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<TopicInfo>> {
        self.view.read().expect(SANE).by_name.values().cloned().collect()
    }

    /// Changes with every change of its settings.
    #[must_use]
    pub fn etag(topic: &TopicInfo) -> Etag {
        let mut hasher = DefaultHasher::new();
        let TopicSpec { name, partitions, retention, compacted } = &topic.spec;
        let retention = (retention.age, retention.bytes, retention.hold_for_triggers);
        (topic.id, name, partitions, retention, compacted).hash(&mut hasher);
        Etag(hasher.finish())
    }

    /// Creates or alters.
    ///
    /// # Errors
    /// What is wrong, or that it is not possible now.
    pub async fn put(&self, spec: TopicSpec, guard: Guard) -> Result<PutTopic, PutTopicError> {
        let _turn = self.writes.lock().await;
        let before = self.get(&spec.name);
        guard.check(before.as_deref().map(Self::etag))?;
        let max = TopicSpec::PARTITIONS_MAX;
        if spec.partitions == 0 || spec.partitions > max {
            let message = format!("{} is not between 1 and {max}", spec.partitions);
            return Err(PutTopicError::Invalid(vec![Problem::new("partitions", message)]));
        }
        match before {
            Some(before) if before.spec == spec => {
                Ok(PutTopic { topic: before, change: Change::Unchanged })
            }
            Some(before) => self.alter(before.id, &before.spec, spec).await,
            None => {
                let id = self.log.create_topic(spec.clone()).await.map_err(refused_creation)?;
                let topic = self.show(TopicInfo { id, spec });
                Ok(PutTopic { topic, change: Change::Created })
            }
        }
    }

    async fn alter(
        &self,
        id: TopicId,
        before: &TopicSpec,
        spec: TopicSpec,
    ) -> Result<PutTopic, PutTopicError> {
        if spec.partitions < before.partitions {
            let message = format!(
                "topic `{}` has {} partitions, and partitions never shrink",
                spec.name, before.partitions
            );
            let hint = "make a new topic with fewer, and a trigger that copies".into();
            return Err(PutTopicError::Conflict { field: "partitions", message, hint });
        }
        self.log.alter_topic(id, spec.clone()).await.map_err(|error| match error {
            AlterTopicError::Unavailable(why) => PutTopicError::Unavailable(why),
            AlterTopicError::Fixed { field } => PutTopicError::Conflict {
                field,
                message: format!("`{field}` of topic `{}` cannot be changed", spec.name),
                hint: "make a new topic".into(),
            },
            AlterTopicError::NoTopic(_) => PutTopicError::Conflict {
                field: "name",
                message: format!("topic `{}` is being deleted", spec.name),
                hint: "try again".into(),
            },
        })?;
        let topic = self.show(TopicInfo { id, spec });
        Ok(PutTopic { topic, change: Change::Altered })
    }

    /// Records and positions are gone when it returns. Who uses it is the caller's to ask.
    pub(super) async fn delete(&self, name: &TopicName) -> Result<(), DeleteOutcome> {
        let _turn = self.writes.lock().await;
        let Some(topic) = self.get(name) else {
            return Err(DeleteOutcome::NotFound(NotFound::new(Noun::Topic, name.as_str())));
        };
        match self.log.delete_topic(topic.id).await {
            Ok(()) | Err(DeleteTopicError::NoTopic(_)) => {
                let mut view = self.view.write().expect(SANE);
                view.by_name.remove(name);
                view.by_id.remove(&topic.id);
                Ok(())
            }
            Err(DeleteTopicError::Unavailable(why)) => Err(DeleteOutcome::Unavailable(why)),
        }
    }

    fn show(&self, info: TopicInfo) -> Arc<TopicInfo> {
        let info = Arc::new(info);
        let mut view = self.view.write().expect(SANE);
        view.by_name.insert(info.spec.name.clone(), Arc::clone(&info));
        view.by_id.insert(info.id, Arc::clone(&info));
        info
    }
}

pub(super) enum DeleteOutcome {
    NotFound(NotFound),
    Unavailable(LogUnavailable),
}

fn refused_creation(error: CreateTopicError) -> PutTopicError {
    match error {
        CreateTopicError::Unavailable(why) => PutTopicError::Unavailable(why),
        CreateTopicError::Exists { name, .. } => PutTopicError::Conflict {
            field: "name",
            message: format!("topic `{name}` exists"),
            hint: "try again".into(),
        },
        CreateTopicError::Partitions { partitions, max } => {
            let message = format!("{partitions} is not between 1 and {max}");
            PutTopicError::Invalid(vec![Problem::new("partitions", message)])
        }
    }
}
