//! The cleanup section.

use regex::Regex;

use super::context::{Context, filled, is_true};
use super::project::present;
use crate::config::cleanup::{CleanupPolicies, KeepPolicy, Limit, LimitOperator, ReferencePattern};
use crate::config::read::At;
use crate::config::werf::code;
use crate::config::werf::schema::{Cleanup, KeepPolicyTable, Limits, References};

pub(super) fn lower(context: &mut Context<'_>, table: &Cleanup) -> CleanupPolicies {
    let entries = table.keep_policies.as_ref().map(|entries| entries.value.0.as_slice()).unwrap_or_default();
    let keep = context.each("keepPolicies", entries, keep_policy);
    CleanupPolicies {
        disabled: is_true(&table.disable),
        without_kubernetes: is_true(&table.disable_kubernetes),
        without_git_history: is_true(&table.disable_git_history),
        without_recent_builds: is_true(&table.disable_built_within),
        keep_built_within_hours: present(&table.keep_built_within_hours).copied(),
        keep: (!entries.is_empty()).then_some(keep),
    }
}

fn keep_policy(context: &mut Context<'_>, entry: &At<KeepPolicyTable>) -> Option<KeepPolicy> {
    let Some(references) = present(&entry.value.references) else {
        if !entry.value.broken.contains(&"references") {
            let message = format!("`{}` does not say which references it is for", context.reader.path());
            let problem = context.error(entry.mark, code::REQUIRED, message);
            problem.help = Some("add `references: {branch: NAME}` or `references: {tag: NAME}`".to_owned());
        }
        return None;
    };
    let limits = |context: &mut Context<'_>, key: &str, limits: Option<&Limits>| {
        limits.map(|limits| context.within(&[key], None, |context| limit(context, limits))).unwrap_or_default()
    };
    let (pattern, limit) = context.within(&["references"], None, |context| {
        (reference_pattern(context, references), limits(context, "limit", present(&references.limit)))
    });
    let images_per_reference = limits(context, "imagesPerReference", present(&entry.value.images_per_reference));
    Some(KeepPolicy { references: pattern?, limit, images_per_reference })
}

fn reference_pattern(context: &mut Context<'_>, table: &References) -> Option<ReferencePattern> {
    let keys = [("branch", filled(&table.branch)), ("tag", filled(&table.tag))];
    let Some((key, field)) = context.exclusive(&keys) else {
        if table.broken.is_empty() {
            let message = format!("`{}` needs a `branch` or a `tag`", context.reader.path());
            let problem = context.error(table.mark, code::REQUIRED, message);
            problem.help = Some("write a name, or `/regex/`".to_owned());
        }
        return None;
    };
    if let Some(regex) = field.value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'))
        && let Err(error) = Regex::new(&format!("^{regex}$"))
    {
        let reason = error.to_string();
        let message = format!("{} holds a regular expression that cannot be read", context.key(key));
        let problem = context.error(field.mark, code::VALUE, message);
        problem.label = reason.lines().last().map(str::to_owned);
        problem.help = Some("write a plain name without slashes, or mend the expression".to_owned());
        return None;
    }
    let pattern = field.value.clone();
    Some(if key == "branch" { ReferencePattern::Branch(pattern) } else { ReferencePattern::Tag(pattern) })
}

/// Every number below zero means all of them, as -1 does.
fn limit(context: &mut Context<'_>, table: &Limits) -> Limit {
    Limit {
        last: present(&table.last).map(|last| (*last).max(-1)),
        within: present(&table.within).map(|within| within.0),
        operator: table.operator.as_ref().and_then(|field| operator(context, field)).unwrap_or_default(),
    }
}

fn operator(
    context: &mut Context<'_>,
    field: &At<crate::config::werf::schema::Maybe<String>>,
) -> Option<LimitOperator> {
    match field.value.0.as_deref()? {
        "And" => Some(LimitOperator::And),
        "Or" => Some(LimitOperator::Or),
        other => {
            let message = format!("{} must be `And` or `Or`", context.key("operator"));
            let problem = context.error(field.mark, code::VALUE, message);
            problem.label = Some(format!("is {:?}", super::paths::shortened(other)));
            problem.help = Some("mind the capital letter".to_owned());
            None
        }
    }
}
