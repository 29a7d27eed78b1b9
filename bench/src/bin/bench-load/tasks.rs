//! Concurrent clients.

use crate::error::LoadResult;

/// Runs all futures concurrently and returns their results.
pub async fn run_all<T: Send + 'static>(
    work: impl Iterator<Item = impl Future<Output = T> + Send + 'static>,
) -> LoadResult<Vec<T>> {
    let tasks: Vec<_> = work.map(tokio::spawn).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await?);
    }
    Ok(results)
}
