//! Does to the bucket what nobody may do, for the mutants that must be found.

use tokio::time::sleep;
use tripline_lake::layout::JOURNAL;
use tripline_lake::store::ObjectStore;

use crate::clock::HOUR;
use crate::mutant::Mutant;
use crate::scene::Scene;

/// Deletes what the scene's mutant deletes, for ever.
pub(crate) async fn sabotage_for_ever(scene: Scene) {
    let prefix = match scene.mutant {
        Mutant::ExpiresJournal => JOURNAL,
        Mutant::LosesFiles => "ride/",
        _ => return,
    };
    loop {
        sleep(scene.dice.pause(HOUR)).await;
        let listed = scene.store.memory.list(prefix, None, usize::MAX).await.unwrap_or_default();
        for object in listed.iter().filter(|_| scene.dice.hits(300)) {
            scene.trace.note(format_args!("{} is deleted by a stranger", object.key));
            let _ = scene.store.memory.delete(&object.key).await;
        }
    }
}
