/// The revocations that are in force, as the verify path looks them up. Immutable.
package struct RevocationSet: Sendable {
    package static let none = RevocationSet()

    /// The highest sequence number that was given out; 0 before the first revocation.
    package internal(set) var highest: UInt64 = 0
}
