//! A plan as a Mermaid flow chart.

use std::collections::BTreeMap;
use std::fmt::Write;

use stages::StageDigest;
use stages::plan::Plan;

/// The stages of a plan and what each one needs; a stage that several images share is shown once.
pub fn mermaid(plan: &Plan) -> String {
    let mut text = String::from("flowchart LR\n");
    let mut nodes: BTreeMap<StageDigest, String> = BTreeMap::new();
    let mut edges = String::new();
    for (at, image) in plan.images.iter().enumerate() {
        let title = escape(&format!("{} {}", image.name, image.platform));
        let _infallible = writeln!(text, "  subgraph image{at}[\"{title}\"]");
        for stage in &image.stages {
            if nodes.contains_key(&stage.digest) {
                continue;
            }
            let id = format!("s{}", nodes.len());
            let label = escape(stage.slot.name());
            let _infallible = writeln!(text, "    {id}[\"{label}<br/>{}\"]", stage.digest.short());
            for needed in stage.needs() {
                if let Some(needed) = nodes.get(&needed) {
                    let _infallible = writeln!(edges, "  {needed} --> {id}");
                }
            }
            nodes.insert(stage.digest, id);
        }
        text.push_str("  end\n");
    }
    text + &edges
}

fn escape(text: &str) -> String {
    text.replace('"', "#quot;")
}
