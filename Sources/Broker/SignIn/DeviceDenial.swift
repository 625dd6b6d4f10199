/// Why a device gets nothing, as it may be told.
package struct DeviceDenial: Sendable, Hashable {
    package enum Cause: Sendable {
        /// Whoever was shown the device.
        case person
        /// The identity provider, or the person there.
        case provider
        /// No rule grants whoever approved anything.
        case rules
    }

    package let cause: Cause
    /// Of the page that said so: `explain` knows it.
    package let trace: TraceID

    package init(_ cause: Cause, under trace: TraceID) {
        self.cause = cause
        self.trace = trace
    }
}
