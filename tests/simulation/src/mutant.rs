//! What the simulation must find out.

/// A condition of the protocol that is not met, at the border of the real code. What is promised
/// cannot be had then, and the simulation must find that out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mutant {
    /// All is as it should be.
    #[default]
    None,
    /// The store ignores `If-None-Match` for journal entries.
    IgnoresIfNoneMatch,
    /// The store ignores `If-Match` for the checkpoint.
    IgnoresIfMatch,
    /// The store may read the checkpoint as it was before the last write.
    ReadsOldCheckpoint,
    /// The bucket has a lifecycle rule for the journal.
    ExpiresJournal,
    /// Files go missing after they were seen.
    LosesFiles,
    /// The mapping has a `ParallelizationFactor` of 2.
    ParallelizationFactor,
    /// The function lists failures although the mapping lacks `ReportBatchItemFailures`.
    UnreportedFailures,
    /// The cluster says of some documents that it has them, and has not.
    ForgetsDocuments,
    /// The cluster lets an older version replace a newer one.
    IgnoresVersions,
    /// The cluster's answers say of each document what is true of the next one.
    MixesStatuses,
    /// The function that feeds the cluster does not know that another feeds the lake.
    UntoldLakeElsewhere,
}

impl Mutant {
    /// All that must be found.
    pub const ALL: [Self; 11] = [
        Self::IgnoresIfNoneMatch,
        Self::IgnoresIfMatch,
        Self::ReadsOldCheckpoint,
        Self::ExpiresJournal,
        Self::LosesFiles,
        Self::ParallelizationFactor,
        Self::UnreportedFailures,
        Self::ForgetsDocuments,
        Self::IgnoresVersions,
        Self::MixesStatuses,
        Self::UntoldLakeElsewhere,
    ];
}
