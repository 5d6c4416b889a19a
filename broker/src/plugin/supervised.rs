//! What the next worker of a plugin is started from, and whether it may be: the policy in force, and the workers that were lost.

use super::{
    options::PluginOptions,
    recipe::{Recipe, knobs},
    worker::Worker,
};
use crate::{
    broker::Inner,
    compile,
    denials::Kept,
    loading::Fresh,
    memfd::Sealed,
    report::Report,
    terms::{Asked, Terms},
};
use bulkhead_shared::{
    outcome::{Outcome, Refusal},
    text::Untrusted,
};
use std::{collections::VecDeque, sync::Arc, time::Instant};

/// A plugin without its workers.
pub(crate) struct Supervised {
    /// One for all plugins of the same bytes: each would take a descriptor.
    input: Arc<Sealed>,
    asked: Asked,
    /// Of the worker that was started last.
    recipe: Arc<Recipe>,
    /// When workers were lost, those of the last `supervision.window`.
    lost: VecDeque<Instant>,
}

impl Supervised {
    /// A plugin that is compiled, and its first worker.
    pub fn load(
        broker: &Arc<Inner>,
        input: Sealed,
        program: Option<String>,
        options: PluginOptions,
    ) -> Result<(Supervised, Worker, Report), Outcome> {
        let PluginOptions { policy, follows, dirs, tmp, progress, learning } = options;
        let asked = Asked { policy, follows, dirs, tmp };
        let Terms { policy, grants, digest } = asked.terms(&broker.policies, &broker.kept)?;
        if let Some(recorder) = &learning {
            recorder.begin(&grants, &policy);
        }
        let mut progress = progress.unwrap_or_else(|| Box::new(|_| {}));
        let knobs = knobs(&policy);
        let compiled = compile::code_for(broker, &input, &knobs, &policy, &mut *progress)?;
        let digest = digest.to_string();
        let mut recipe = Recipe {
            broker: broker.clone(),
            compiled,
            policy,
            grants,
            digest,
            program,
            learning,
            denied: Kept::default(),
        };
        let mut made = Arc::new(recipe.clone());
        let mut started = made.start();
        if let Err(Fresh::Stale(reason)) = &started {
            // Code of another build, or for another CPU: once more, and this time it must fit.
            tracing::warn!(reason = %Untrusted(reason), "the cached code does not fit this worker and is compiled again");
            let key = recipe.compiled.key;
            broker.kept.forget_code(&key);
            if let Some(cache) = &broker.cache {
                cache.remove(&key);
            }
            recipe.compiled = compile::compile(broker, &input, &knobs, &recipe.policy, &mut *progress, key)?;
            made = Arc::new(recipe);
            started = made.start();
        }
        let (worker, report) = started.map_err(Fresh::into_outcome)?;
        let input = broker.kept.input(input);
        Ok((Supervised { input, asked, recipe: made, lost: VecDeque::new() }, worker, report))
    }

    /// What the worker that was started last was made of.
    pub fn recipe(&self) -> &Arc<Recipe> {
        &self.recipe
    }

    /// Whether a worker that was made of this runs under the policy in force.
    pub fn is_current(&self, recipe: &Recipe) -> bool {
        let terms = self.asked.terms(&recipe.broker.policies, &recipe.broker.kept);
        terms.is_ok_and(|terms| terms.policy == recipe.policy && terms.grants == recipe.grants)
    }

    /// A worker was lost in a call, by this end.
    pub fn lose(&mut self, recipe: &Recipe, end: &Outcome) {
        self.lost.push_back(Instant::now());
        recipe.suspect(end);
    }

    /// Takes over the policy in force, and asks it whether another worker may be started: from what is given.
    pub fn renew(&mut self) -> Result<Arc<Recipe>, Outcome> {
        let Terms { policy, grants, digest } =
            self.asked.terms(&self.recipe.broker.policies, &self.recipe.broker.kept)?;
        if policy != self.recipe.policy || grants != self.recipe.grants {
            let mut recipe = Recipe { policy, grants, digest: digest.to_string(), ..(*self.recipe).clone() };
            let (before, now) = (knobs(&self.recipe.policy), knobs(&recipe.policy));
            if before != now {
                recipe.compiled = compile::code_for(&recipe.broker, &self.input, &now, &recipe.policy, &mut |_| {})?;
            }
            self.recipe = Arc::new(recipe);
        }
        self.may_start_again()?;
        Ok(self.recipe.clone())
    }

    /// Refuses a plugin that loses one worker after the other (`[supervision]`).
    fn may_start_again(&mut self) -> Result<(), Outcome> {
        let supervision = &self.recipe.policy.supervision;
        while self.lost.front().is_some_and(|at| at.elapsed() > supervision.window) {
            self.lost.pop_front();
        }
        let most = usize::try_from(supervision.restarts).unwrap_or(usize::MAX);
        match self.lost.front() {
            Some(first) if self.lost.len() > most => {
                let wait = supervision.window.saturating_sub(first.elapsed());
                Err(Outcome::Refused(Refusal {
                    message: format!(
                        "it has lost {} workers within {:?}, and {most} may be replaced (supervision.restarts); it is \
                         started again in {} s",
                        self.lost.len(),
                        supervision.window,
                        wait.as_secs() + 1
                    ),
                }))
            }
            _ => Ok(()),
        }
    }
}
