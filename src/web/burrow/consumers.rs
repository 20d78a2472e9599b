//! Consumer groups of Burrow's API.

use super::{
    answers::{Answer, Consumed, Request, Status, error, ok, ok_with},
    find,
};
use crate::{
    lag::BurrowStatus,
    monitor::{
        burrow::{BurrowGroup, BurrowPartition, group_status, is_known},
        view::{ClusterView, GroupView, View},
    },
    web::state::DashboardState,
};
use axum::{
    extract::{Path, State},
    http::StatusCode,
    response::Response,
};
use std::{collections::BTreeMap, sync::Arc};

type Names = Path<(String, String)>;

pub async fn list(State(dashboard): State<DashboardState>, Path(name): Path<String>, request: Request) -> Response {
    let view = dashboard.published.latest();
    match find(&view, &name) {
        Some(cluster) => {
            let known = cluster.groups.iter().filter(|group| is_known(group));
            ok(&request, "consumer list returned", Answer::Consumers(known.map(|group| group.id.as_ref()).collect()))
        }
        None => error(&request, StatusCode::NOT_FOUND, "cluster not found"),
    }
}

fn find_group<'v>(view: &'v View, cluster: &str, group: &str) -> Option<(&'v ClusterView, &'v GroupView)> {
    let cluster = find(view, cluster)?;
    let group = cluster.groups.iter().map(Arc::as_ref).find(|known| known.id.as_ref() == group && is_known(known))?;
    Some((cluster, group))
}

pub async fn detail(State(dashboard): State<DashboardState>, Path((cluster, group)): Names, request: Request) -> Response {
    let view = dashboard.published.settled().await;
    let Some((cluster, group)) = find_group(&view, &cluster, &group) else {
        return error(&request, StatusCode::NOT_FOUND, "cluster or consumer not found");
    };
    let judged = group_status(&dashboard.published, cluster, group);
    ok(&request, "consumer detail returned", Answer::Consumer(by_topic(cluster, &judged)))
}

/// An array for each topic that the group has committed in, whose index is the partition.
fn by_topic<'a>(cluster: &ClusterView, judged: &'a BurrowGroup) -> BTreeMap<&'a str, Vec<Consumed<'a>>> {
    let mut topics: BTreeMap<&str, Vec<Consumed<'_>>> = BTreeMap::new();
    for partition in &judged.partitions {
        let rows = topics.entry(&partition.topic).or_insert_with(|| {
            let topic = cluster.topics.iter().find(|topic| topic.name == partition.topic);
            let partitions = topic.map_or(0, |topic| topic.partitions.len());
            std::iter::repeat_with(Consumed::nothing).take(partitions).collect()
        });
        if let Some(row) = usize::try_from(partition.partition).ok().and_then(|index| rows.get_mut(index)) {
            *row = Consumed::of(partition);
        }
    }
    topics
}

/// Lists the partitions with which something is wrong.
pub async fn status(State(dashboard): State<DashboardState>, Path(names): Names, request: Request) -> Response {
    show(&dashboard, &names, &request, |partition| partition.status > BurrowStatus::Ok).await
}

/// Lists every partition.
pub async fn lag(State(dashboard): State<DashboardState>, Path(names): Names, request: Request) -> Response {
    show(&dashboard, &names, &request, |_| true).await
}

async fn show(
    dashboard: &DashboardState,
    (cluster, group): &(String, String),
    request: &Request,
    shown: impl Fn(&&BurrowPartition) -> bool,
) -> Response {
    const MESSAGE: &str = "consumer status returned";
    let view = dashboard.published.settled().await;
    match find_group(&view, cluster, group) {
        Some((cluster, group)) => {
            let judged = group_status(&dashboard.published, cluster, group);
            ok(request, MESSAGE, Answer::Status(Status::of(&cluster.name, &group.id, &judged, shown)))
        }
        None => ok_with(request, StatusCode::NOT_FOUND, MESSAGE, Answer::Status(Status::not_found(cluster, group))),
    }
}
