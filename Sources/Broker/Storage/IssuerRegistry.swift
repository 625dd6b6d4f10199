package import JOSE

/// Which name stands for which issuer, for good: subjects are `name:sub`, and a name that came to stand for another
/// issuer would hand its subjects' sessions and revocations to strangers.
package protocol IssuerRegistry: Sendable {
    /// Binds names that are new.
    /// - Throws: `.conflict`, with nothing bound, when a name is bound to another issuer.
    func bind(_ issuers: [IssuerName: ExactString]) async throws(StoreFailure)
}
