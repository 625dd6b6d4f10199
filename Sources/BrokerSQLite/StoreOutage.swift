package import Broker
package import FoundationEssentials

/// That the last transaction failed.
package struct StoreOutage: Sendable {
    /// The time of the first failure since one succeeded.
    package let since: Date
    /// The latest failure.
    package let failure: StoreFailure
}
