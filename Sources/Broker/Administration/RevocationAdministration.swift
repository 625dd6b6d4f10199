/// Revocations, for administrators.
package protocol RevocationAdministration: Sendable {
    /// The live ones, the latest first.
    func revocations(
        _ page: AdministrationAPI.PageRequest
    ) async throws(AdministrationFailure) -> AdministrationAPI.Page<AdministrationAPI.Revocation>

    /// The live one of that number, or nil.
    func revocation(_ sequence: UInt64) async throws(AdministrationFailure) -> AdministrationAPI.Revocation?

    /// How far the revocation of that number has got.
    func reach(of sequence: UInt64) async -> AdministrationAPI.Reach

    /// What `revoke` would affect. Changes and records nothing.
    func preview(
        _ order: AdministrationAPI.RevocationOrder
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationPreview

    /// Revokes what the order names, of every kind but a key: in force on this node when it returns.
    func revoke(
        _ order: AdministrationAPI.RevocationOrder, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.RevocationResult

    /// What `lift` would lift. Changes and records nothing.
    /// - Throws: `.notFound` where there is no block.
    func previewLifting(
        _ order: AdministrationAPI.RevocationOrder
    ) async throws(AdministrationFailure) -> AdministrationAPI.BlockLift

    /// Lets in again what the order names: recorded when it returns. What was revoked stays dead.
    /// - Throws: `.notFound` where there is no block.
    func lift(
        _ order: AdministrationAPI.RevocationOrder, _ context: AdministrativeContext
    ) async throws(AdministrationFailure) -> AdministrationAPI.BlockLift
}
