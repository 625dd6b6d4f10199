import JOSE
import SPIFFE

/// Whose claims a test is about: what an authenticator would make of them, had somebody signed them. Nobody is
/// authenticated here, so it is no `VerifiedSubject`.
struct MadeUpSubject {
    let issuer: IssuerName
    /// As rules read them.
    let claims: JSONObject
    /// As tokens and records name it.
    let identity: ExactString
    /// What of the claims the broker would refuse before any rule is asked, in words.
    private(set) var warnings: [String] = []

    init(
        _ order: AdministrationAPI.RuleTest, _ configuration: BrokerConfiguration
    ) throws(AdministrationFailure) {
        switch order.source {
        case .issuer(let name):
            guard let issuer = configuration.issuers.first(where: { $0.name.text == name }) else {
                throw .invalid("no issuer that is configured is named \(name)")
            }
            try self.init(order.claims, of: issuer)
        case .trustDomain(let name):
            guard let domain = configuration.trustDomains.first(where: { $0.name.name == name }) else {
                throw .invalid("no trust domain that is configured is named \(name)")
            }
            try self.init(order.claims, of: domain)
        case nil: try self.init(order.claims, in: configuration)
        }
    }

    /// By what the claims say themselves, as the broker tells it: an `iss` that is configured first.
    private init(
        _ claims: JSONObject, in configuration: BrokerConfiguration
    ) throws(AdministrationFailure) {
        let named = configuration.issuers.filter { $0.issuer == claims["iss"]?.string }
        let audiences = (claims["aud"]?.array ?? [claims["aud"]].compactMap(\.self)).compactMap(\.string)
        let meant = named.count > 1 ? named.filter { audiences.contains($0.audience) } : named
        if meant.count == 1, let issuer = meant.first {
            try self.init(claims, of: issuer)
            return
        }
        guard named.isEmpty else {
            let names = named.map(\.name.text.string).joined(separator: ", ")
            throw .invalid("by iss and aud the claims can be of any of \(names): say of which issuer they are")
        }
        let id = claims["sub"]?.string.flatMap { try? SPIFFEID(parsing: $0) }
        guard let domain = configuration.trustDomains.first(where: { $0.name == id?.trustDomain }) else {
            throw .invalid(
                "iss of the claims is no issuer, and sub no workload of a trust domain, that is configured: "
                    + "say of which issuer they are")
        }
        try self.init(claims, of: domain)
    }

    private init(_ claims: JSONObject, of configured: IssuerConfiguration) throws(AdministrationFailure) {
        guard let subject = claims["sub"]?.string, !subject.isEmpty else {
            throw .invalid("the claims have no sub: no token goes without one")
        }
        issuer = configured.name
        self.claims = claims
        identity = ExactString("\(configured.name):\(subject)")
        if claims["iss"]?.string != configured.issuer {
            warnings.append("iss is not \(configured.issuer): such a token of \(issuer) is refused before any rule")
        }
        warn(unlessFor: configured.audience)
        guard let expiry = claims["exp"]?.number, let issued = claims["iat"]?.number else {
            warnings.append("exp or iat is missing: such a token is refused before any rule")
            return
        }
        if expiry - issued > configured.maximumLifetime.seconds {
            warnings.append(
                "exp is more than max_lifetime of \(issuer) after iat: such a token is refused before any rule")
        }
    }

    private init(_ claims: JSONObject, of domain: TrustDomainConfiguration) throws(AdministrationFailure) {
        let text = claims["sub"]?.string ?? claims[VerifiedSubject.spiffeIDClaim]?.string
        guard let id = text.flatMap({ try? SPIFFEID(parsing: $0) }), id.isWorkload, id.trustDomain == domain.name
        else { throw .invalid("sub of the claims has to be the SPIFFE ID of a workload of \(domain.name)") }
        issuer = IssuerName(domain.name)
        let others = claims.members.filter { $0.name != VerifiedSubject.spiffeIDClaim }.map { ($0.name, $0.value) }
        self.claims = JSONObject(uniqueMembers: others + [(VerifiedSubject.spiffeIDClaim, .string(id.text))])
        identity = id.text
        // A certificate has no other claims.
        if claims["aud"] != nil { warn(unlessFor: domain.audience) }
    }

    private mutating func warn(unlessFor audience: ExactString) {
        let audiences = (claims["aud"]?.array ?? [claims["aud"]].compactMap(\.self)).compactMap(\.string)
        guard !audiences.contains(audience) else { return }
        warnings.append("aud is not \(audience): such a token of \(issuer) is refused before any rule")
    }
}
