package import JOSE

/// Revokes what a signing key has signed.
package protocol KeyRevoking: Sendable {
    /// Makes every token of the key worthless at once, and records that.
    /// - Returns: whether it is durable; where it is not, it is in force all the same, and recorded as soon as it can be.
    func revokeKey(_ keyID: ExactString, reason: String?, by caller: Caller, under trace: TraceID) async -> Bool

    /// Whether the key's own record says that it is revoked: without it the revocation is not all durable.
    func setKey(_ keyID: ExactString, isRecorded: Bool)
}
