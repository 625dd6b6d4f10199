package import Broker

/// Turns a name into addresses.
package protocol HostResolver: Sendable {
    /// All addresses of `name`, the ones to prefer first; never none.
    ///
    /// Returns promptly when the task is cancelled.
    func addresses(of name: String) async throws(ResolutionFailure) -> [IPAddress]
}

/// Why a name has no addresses, in words for the operator.
package struct ResolutionFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) {
        self.description = description
    }
}
