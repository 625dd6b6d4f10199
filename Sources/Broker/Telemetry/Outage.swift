package import FoundationEssentials

/// That something does not work, for readiness.
package struct Outage: Sendable, Hashable {
    package let since: Date
    /// In words for the operator.
    package let cause: String

    package init(since: Date, cause: String) {
        self.since = since
        self.cause = cause
    }
}
