//! Changes of triggers. Never what their feeds do about it: the supervisor watches.
use super::{
    Catalog, Change, ChangeTriggerError, DeleteCursorRefused, DeleteTopicRefused, Etag, Flags,
    Guard, Halted, NotFound, Noun, OnFailure, Problem, PutTrigger, PutTriggerError, Start, Trigger,
    TriggerDefinition,
    stored::{self, FLAGS, StoredFlags, StoredTrigger, TRIGGERS},
    topics::DeleteOutcome,
};
use log_contract::{
    CursorInfo, CursorName, DeleteCursorError, Expect, LogUnavailable, Offset, PartitionId,
    PartitionRef, ReadError, TopicId, TopicInfo, TopicName, TopicSpec, TriggerName,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

impl Catalog {
    /// Creates or replaces a trigger. Its dead-letter topic is made if need be; where it starts is
    /// fixed when this returns.
    ///
    /// # Errors
    /// All that is wrong.
    pub async fn put_trigger(
        &self,
        name: &TriggerName,
        definition: TriggerDefinition,
        guard: Guard,
    ) -> Result<PutTrigger, PutTriggerError> {
        let _turn = self.writes.lock().await;
        let before = self.trigger(name);
        guard.check(before.as_ref().map(|before| before.etag))?;
        let problems = definition.problems();
        if !problems.is_empty() {
            return Err(PutTriggerError::Invalid(problems));
        }
        let source = self.check_names(name, &definition)?;
        self.check_cursor(name, &definition, before.as_deref(), &source)?;
        if let Some(before) = &before
            && before.definition == definition
            && before.source == source.id
        {
            let (trigger, change) = (Arc::clone(before), Change::Unchanged);
            return Ok(PutTrigger { trigger, change, resumed_from: BTreeMap::new() });
        }
        let cursor = self.log.cursors().await?.into_iter().find(|it| it.name == definition.cursor);
        let resumed_from = self.positions(name, &definition, cursor.as_ref(), source.id)?;
        let keeps_starts = before.as_ref().is_some_and(|before| {
            let it = &before.definition;
            (before.source, it.start, &it.cursor)
                == (source.id, definition.start, &definition.cursor)
        });
        let starts = match &before {
            Some(before) if keeps_starts => before.starts.clone(),
            _ => self.starts(&source, definition.start).await?,
        };
        self.ensure_dead_letters(name, &definition).await?;
        if before.is_none() {
            // Left by a delete that crashed half way.
            self.write(&format!("{FLAGS}{name}"), None, Expect::Anything).await?;
        }
        let mut trigger = Trigger {
            name: name.clone(),
            definition,
            etag: Etag(0),
            source: source.id,
            starts,
            created_at: before.as_ref().map_or_else(|| self.now(), |before| before.created_at),
            flags: before.as_ref().map_or_else(Flags::default, |before| before.flags.clone()),
        };
        let document = stored::encode(StoredTrigger::from(&trigger));
        let expect =
            before.as_ref().map_or(Expect::Nothing, |before| Expect::Version(before.etag.0));
        trigger.etag =
            Etag(self.write(&format!("{TRIGGERS}{name}"), Some(document), expect).await?);
        let trigger = Arc::new(trigger);
        self.show_trigger(Arc::clone(&trigger));
        Ok(match before {
            Some(_) => {
                PutTrigger { trigger, change: Change::Altered, resumed_from: BTreeMap::new() }
            }
            None => PutTrigger { trigger, change: Change::Created, resumed_from },
        })
    }

    /// Takes a trigger out of the catalogue. Its cursor stays. Who wants to know that nothing of it
    /// runs any more asks the supervisor.
    ///
    /// # Errors
    /// It is not there, or has changed.
    pub async fn delete_trigger(
        &self,
        name: &TriggerName,
        guard: Guard,
    ) -> Result<Arc<Trigger>, ChangeTriggerError> {
        let _turn = self.writes.lock().await;
        let trigger = self.trigger_or_not_found(name)?;
        guard.check(Some(trigger.etag))?;
        let expect = Expect::Version(trigger.etag.0);
        self.write(&format!("{TRIGGERS}{name}"), None, expect).await?;
        self.hide_trigger(name);
        self.write(&format!("{FLAGS}{name}"), None, Expect::Anything).await?;
        Ok(trigger)
    }

    /// Marks a trigger as paused, or not. The supervisor makes it so.
    ///
    /// # Errors
    /// It is not there, or the log is away.
    pub async fn set_paused(
        &self,
        name: &TriggerName,
        is_paused: bool,
    ) -> Result<Arc<Trigger>, ChangeTriggerError> {
        let now = self.now();
        self.set_flags(name, |flags| {
            flags.paused = is_paused.then(|| flags.paused.unwrap_or(now));
        })
        .await
    }

    /// Marks a trigger as halted, or not.
    ///
    /// # Errors
    /// It is not there, or the log is away.
    pub async fn set_halted(
        &self,
        name: &TriggerName,
        halted: Option<Halted>,
    ) -> Result<Arc<Trigger>, ChangeTriggerError> {
        self.set_flags(name, |flags| flags.halted = halted).await
    }

    /// Ends a pause and a halt.
    ///
    /// # Errors
    /// It is not there, or the log is away.
    pub async fn clear_flags(
        &self,
        name: &TriggerName,
    ) -> Result<Arc<Trigger>, ChangeTriggerError> {
        self.set_flags(name, |flags| *flags = Flags::default()).await
    }

    async fn set_flags(
        &self,
        name: &TriggerName,
        change: impl FnOnce(&mut Flags),
    ) -> Result<Arc<Trigger>, ChangeTriggerError> {
        let _turn = self.writes.lock().await;
        let before = self.trigger_or_not_found(name)?;
        let mut trigger = before.as_ref().clone();
        change(&mut trigger.flags);
        if trigger.flags == before.flags {
            return Ok(before);
        }
        let document = (trigger.flags != Flags::default())
            .then(|| stored::encode(StoredFlags::from(&trigger.flags)));
        self.write(&format!("{FLAGS}{name}"), document, Expect::Anything).await?;
        let trigger = Arc::new(trigger);
        self.show_trigger(Arc::clone(&trigger));
        Ok(trigger)
    }

    /// Deletes a topic that no trigger uses; with `force`, whoever uses it (the caller has stopped
    /// them).
    ///
    /// # Errors
    /// It is not there, or in use.
    pub async fn delete_topic(
        &self,
        name: &TopicName,
        force: bool,
    ) -> Result<(), DeleteTopicRefused> {
        let _turn = self.writes.lock().await;
        let triggers = self.users_of_topic(name);
        if self.topics().get(name).is_some() && !triggers.is_empty() && !force {
            return Err(DeleteTopicRefused::InUse { name: name.to_string(), triggers });
        }
        self.topics().delete(name).await.map_err(|outcome| match outcome {
            DeleteOutcome::NotFound(not_found) => DeleteTopicRefused::NotFound(not_found),
            DeleteOutcome::Unavailable(why) => DeleteTopicRefused::Unavailable(why),
        })
    }

    /// # Errors
    /// The log does not answer.
    pub async fn cursors(&self) -> Result<Vec<CursorInfo>, LogUnavailable> {
        self.log.cursors().await
    }

    /// Forgets the positions and the state of a cursor that no trigger has.
    ///
    /// # Errors
    /// It is not there, or in use.
    pub async fn delete_cursor(&self, cursor: &CursorName) -> Result<(), DeleteCursorRefused> {
        let _turn = self.writes.lock().await;
        let users = self.triggers_with(|trigger| trigger.definition.cursor == *cursor);
        if let Some(trigger) = users.into_iter().next() {
            let (cursor, trigger) = (cursor.clone(), Some(trigger));
            return Err(DeleteCursorRefused::InUse { cursor, trigger });
        }
        self.log.delete_cursor(cursor).await.map_err(|error| match error {
            DeleteCursorError::NoCursor(_) => NotFound::new(Noun::Cursor, cursor.as_str()).into(),
            DeleteCursorError::InUse(_) => {
                DeleteCursorRefused::InUse { cursor: cursor.clone(), trigger: None }
            }
            DeleteCursorError::Unavailable(why) => DeleteCursorRefused::Unavailable(why),
        })
    }

    fn trigger_or_not_found(&self, name: &TriggerName) -> Result<Arc<Trigger>, NotFound> {
        self.trigger(name).ok_or_else(|| NotFound::new(Noun::Trigger, name.as_str()))
    }

    /// Every name in a definition stands for something. Answers the source.
    fn check_names(
        &self,
        name: &TriggerName,
        definition: &TriggerDefinition,
    ) -> Result<Arc<TopicInfo>, PutTriggerError> {
        let source = self.topic(&definition.source, "source")?;
        self.resolve(&definition.function).map_err(|error| error.in_field("function"))?;
        if let Some(output) = &definition.output {
            self.topic(output, "output")?;
        }
        for output in &definition.outputs {
            self.topic(output, "outputs")?;
        }
        let is_dead_letters = self
            .triggers_with(|other| {
                other.name != *name
                    && other.definition.on_failure == OnFailure::DeadLetter
                    && other.definition.dead_letter_topic(&other.name) == definition.source
            })
            .into_iter()
            .next();
        let has_default =
            definition.on_failure == OnFailure::DeadLetter && definition.dead_letters.is_none();
        if let (Some(other), true) = (is_dead_letters, has_default) {
            let message =
                format!("`{}` holds the dead letters of trigger `{other}`", definition.source);
            let hint = "name a topic for this trigger's own, or set `on_failure` to hold or drop";
            let problem = Problem::new("dead_letters", message).with_hint(hint);
            return Err(PutTriggerError::Invalid(vec![problem]));
        }
        if definition.on_failure == OnFailure::DeadLetter
            && definition.dead_letter_topic(name) == definition.source
        {
            let message = "dead letters into the source would come back for ever";
            let problem = Problem::new("dead_letters", message).with_hint("name another topic");
            return Err(PutTriggerError::Invalid(vec![problem]));
        }
        Ok(source)
    }

    fn topic(&self, name: &TopicName, field: &'static str) -> Result<Arc<TopicInfo>, NotFound> {
        self.topics().get(name).ok_or_else(|| {
            let hint = format!("create it: PUT /v1/topics/{name}");
            NotFound::new(Noun::Topic, name.as_str()).in_field(field).with_hint(hint)
        })
    }

    fn check_cursor(
        &self,
        name: &TriggerName,
        definition: &TriggerDefinition,
        before: Option<&Trigger>,
        source: &TopicInfo,
    ) -> Result<(), PutTriggerError> {
        let cursor = &definition.cursor;
        let others =
            self.triggers_with(|other| other.name != *name && other.definition.cursor == *cursor);
        if let Some(other) = others.first() {
            return Err(PutTriggerError::Conflict {
                field: "cursor",
                message: format!("cursor `{cursor}` belongs to trigger `{other}`"),
                hint: "give this trigger a cursor of its own".into(),
            });
        }
        match before {
            // The cursor of a topic that is gone binds nobody.
            Some(before)
                if before.source != source.id
                    && before.definition.cursor == *cursor
                    && self.topics().by_id(before.source).is_some() =>
            {
                Err(PutTriggerError::Conflict {
                    field: "source",
                    message: format!(
                        "cursor `{cursor}` has its position in another topic than `{}`",
                        definition.source
                    ),
                    hint: "give another `cursor` along with the new `source`".into(),
                })
            }
            _ => Ok(()),
        }
    }

    /// Where the cursor stands in the source. A position in another living topic is a conflict.
    fn positions(
        &self,
        name: &TriggerName,
        definition: &TriggerDefinition,
        cursor: Option<&CursorInfo>,
        source: TopicId,
    ) -> Result<BTreeMap<PartitionId, Offset>, PutTriggerError> {
        let Some(cursor) = cursor else { return Ok(BTreeMap::new()) };
        let other = cursor
            .positions
            .iter()
            .filter(|position| position.topic != source)
            .find_map(|position| self.topics().by_id(position.topic));
        if let Some(other) = other {
            return Err(PutTriggerError::Conflict {
                field: "cursor",
                message: format!(
                    "cursor `{}` has its position in `{}`",
                    cursor.name, other.spec.name
                ),
                hint: format!(
                    "give trigger `{name}` another cursor, or delete this one: DELETE /v1/cursors/{}",
                    definition.cursor
                ),
            });
        }
        let here = cursor.positions.iter().filter(|position| position.topic == source);
        Ok(here.map(|position| (position.partition, position.progress.next())).collect())
    }

    /// The first offsets of a cursor that has none. Earliest has none either: it is found when the
    /// partition is first read.
    async fn starts(
        &self,
        source: &TopicInfo,
        start: Start,
    ) -> Result<BTreeMap<PartitionId, Offset>, PutTriggerError> {
        let mut starts = BTreeMap::new();
        for partition in (0..source.spec.partitions).map(PartitionId) {
            let place = PartitionRef::new(source.id, partition);
            let offset = match start {
                Start::Earliest => return Ok(starts),
                Start::Latest => self.log.bounds(place).await.map(|bounds| bounds.end),
                Start::At(at) => self.log.offset_at(place, at).await,
            };
            starts.insert(partition, offset.map_err(unread)?);
        }
        Ok(starts)
    }

    async fn ensure_dead_letters(
        &self,
        name: &TriggerName,
        definition: &TriggerDefinition,
    ) -> Result<(), PutTriggerError> {
        let topic = definition.dead_letter_topic(name);
        if definition.on_failure != OnFailure::DeadLetter || self.topics().get(&topic).is_some() {
            return Ok(());
        }
        let mut spec = TopicSpec::new(topic, 1);
        // Somebody has to look at them, however long that takes.
        spec.retention.age = None;
        let put = self.topics().put(spec, Guard::Any).await;
        put.map(|_| ()).map_err(|error| match error {
            super::PutTopicError::Unavailable(why) => PutTriggerError::Unavailable(why),
            other => PutTriggerError::Conflict {
                field: "dead_letters",
                message: other.to_string(),
                hint: "try again".into(),
            },
        })
    }
}

fn unread(error: ReadError) -> PutTriggerError {
    PutTriggerError::Unavailable(match error {
        ReadError::Unavailable(why) => why,
        other => {
            LogUnavailable::Away { why: other.to_string(), retry_after: Duration::from_secs(1) }
        }
    })
}
