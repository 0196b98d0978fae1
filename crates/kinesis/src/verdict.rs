//! What an error of Kinesis means for the records that it is about.

/// What becomes of the records of a request, or of one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Over a limit, now: later.
    Throttled {
        /// What to do if it is always.
        advice: &'static str,
    },
    /// Kinesis, or the way to it, has failed for now.
    Later,
    /// It was not understood: one record may be at fault.
    Bad,
    /// Nothing will be taken until somebody mends this.
    Stop {
        /// What to do.
        advice: &'static str,
    },
}

/// What to do when the stream's own limits are in the way.
pub(crate) const SHARDS: &str = "add shards, or use on-demand capacity";

/// What to do when nothing that is sent is understood.
pub(crate) const CORRECT: &str = "correct the stream's name, its record size and the endpoint";

const FEWER: &str = "let fewer functions send at a time";

const CREDENTIALS: &str = "give AWS credentials that are valid, or the function a role";

/// By the HTTP status of the answer (200 for a record's own error) and the error's code.
pub(crate) fn verdict(status: u16, code: &str) -> Verdict {
    let throttled = |advice| Verdict::Throttled { advice };
    let stop = |advice| Verdict::Stop { advice };
    match code {
        "ProvisionedThroughputExceededException" | "LimitExceededException" => throttled(SHARDS),
        "KMSThrottlingException" => throttled("ask AWS for a higher quota of KMS requests"),
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "RequestLimitExceeded"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "TooManyRequestsException" => throttled(FEWER),
        // A stream that is being changed takes records again soon.
        "InternalFailure"
        | "InternalFailureException"
        | "InternalServerError"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "RequestTimeout"
        | "RequestTimeoutException"
        | "ResourceInUseException" => Verdict::Later,
        "ValidationException"
        | "ValidationError"
        | "InvalidArgumentException"
        | "InvalidParameterValue"
        | "SerializationException" => Verdict::Bad,
        "ResourceNotFoundException" => {
            stop("name a stream that exists in this region and account, or create it")
        }
        "AccessDeniedException" | "AccessDenied" | "NotAuthorized" | "OptInRequired" => {
            stop("allow the role kinesis:PutRecords on the stream, and kms:GenerateDataKey on its key")
        }
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => stop("get new credentials"),
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "IncompleteSignature"
        | "IncompleteSignatureException" => stop(CREDENTIALS),
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestTimeTooSkewed" => {
            stop("give the right credentials and region, and set this machine's clock")
        }
        "UnknownOperationException" | "InvalidAction" => stop("correct the endpoint: it is no Kinesis"),
        _ if code.starts_with("KMS") => {
            stop("make the stream's KMS key usable: enabled, and kms:GenerateDataKey allowed to the role")
        }
        _ => match status {
            429 => throttled(FEWER),
            // 200: a record's own error that is not known, or an answer that cannot be read.
            200..=299 | 408 | 500..=599 => Verdict::Later,
            413 => Verdict::Bad,
            401 | 403 => stop(CREDENTIALS),
            404 => stop("correct the endpoint: it is no Kinesis"),
            // Also what forwards elsewhere: Kinesis does not.
            _ => stop(CORRECT),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_failures_pass_and_an_operator_s_errors_do_not() {
        for (status, code, word) in [
            (200, "ProvisionedThroughputExceededException", "shards"),
            (400, "KMSThrottlingException", "KMS"),
            (400, "LimitExceededException", "shards"),
            (429, "", "fewer"),
        ] {
            let Verdict::Throttled { advice } = verdict(status, code) else { unreachable!("{code}") };
            assert!(advice.contains(word), "{code}: {advice}");
        }
        for (status, code) in [
            (200, "InternalFailure"),
            (500, ""),
            (503, "x"),
            (408, ""),
            (200, "x"),
            (400, "ResourceInUseException"),
        ] {
            assert_eq!(verdict(status, code), Verdict::Later, "{code}");
        }
        for (status, code) in [(400, "ValidationException"), (413, ""), (400, "InvalidArgumentException")] {
            assert_eq!(verdict(status, code), Verdict::Bad, "{code}");
        }
        for (status, code, word) in [
            (400, "ResourceNotFoundException", "stream that exists"),
            (400, "AccessDeniedException", "kinesis:PutRecords"),
            (400, "ExpiredTokenException", "new credentials"),
            (400, "KMSDisabledException", "KMS key"),
            (400, "UnrecognizedClientException", "role"),
            (403, "", "role"),
            (301, "", "endpoint"),
            (400, "x", "endpoint"),
        ] {
            let Verdict::Stop { advice } = verdict(status, code) else { unreachable!("{code}") };
            assert!(advice.contains(word), "{code}: {advice}");
        }
    }
}
