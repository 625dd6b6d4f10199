package import JOSE

/// Which name stands for which issuer, for good: subjects are `name:sub`, and a name that came to stand for another
/// issuer would hand its subjects' sessions and revocations to strangers.
package protocol IssuerRegistry: Sendable {
    /// Binds names that are new and records `event`, where there is one, in the same transaction: all of it or nothing.
    /// - Throws: `.conflict`, with nothing bound, when a name is bound to another issuer.
    func bind(_ issuers: [IssuerName: ExactString], recording event: AuditEvent?) async throws(StoreFailure)

    /// - Throws: `.conflict` where `bind` would; nothing is written.
    func checkBinding(_ issuers: [IssuerName: ExactString]) async throws(StoreFailure)
}

extension IssuerRegistry {
    package func bind(_ issuers: [IssuerName: ExactString]) async throws(StoreFailure) {
        try await bind(issuers, recording: nil)
    }
}
