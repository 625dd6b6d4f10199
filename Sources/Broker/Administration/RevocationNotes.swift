import JOSE

/// What to warn an administrator of who revokes: that a name is configured nowhere, that nothing live matched, and what
/// a search could not see. It is allowed all the same: a rule may be gone, and a subject come back.
struct RevocationNotes {
    private let configuration: BrokerConfiguration

    init(_ configuration: BrokerConfiguration) {
        self.configuration = configuration
    }

    /// - Parameters:
    ///   - block: what the order asks for.
    ///   - inForce: the block of the target that is in force.
    ///   - isMatched: whether there was a live session; nil where that is not known.
    ///   - isRecorded: whether there is, or was, a session of that id.
    func findings(
        _ target: Revocation.Target, _ block: Revocation.Block?, inForce: Revocation.Block?,
        isMatched: Bool?, isRecorded: Bool
    ) -> AdministrationAPI.RevocationFindings {
        var warnings = unknown(target, isRecorded: isRecorded)
        if isMatched == false { warnings.append("0 live sessions match") }
        if let block, let inForce, inForce.outlasts(block) {
            warnings.append("a block that holds longer is in force and stays; it ends sooner only by: daypass unblock")
        }
        if target == .all, block != nil {
            warnings.append(
                "nobody gets a token while this holds, administrators on the network neither, and theirs end now: "
                    + "only the Unix socket administers the broker then, and lifts it with: daypass unblock all")
        }
        return AdministrationAPI.RevocationFindings(
            warnings: warnings, block: inForce)
    }

    private func unknown(_ target: Revocation.Target, isRecorded: Bool) -> [String] {
        switch target {
        case .rule(let name) where !configuration.rules.rules.contains { $0.name == name }:
            return ["no rule of this name is configured"]
        case .issuer(let name) where !configuration.issuerNames.contains(name):
            return ["no issuer or trust domain of this name is configured"]
        case .subject(let subject):
            guard subject.string.contains(":"), let issuer = IssuerName(of: subject) else {
                return ["no subject is called so: it begins with its issuer's name and a colon, or is a SPIFFE ID"]
            }
            guard !configuration.issuerNames.contains(issuer) else { return [] }
            return ["the subject's issuer, \(issuer), is not configured"]
        case .session where !isRecorded: return ["no session of this id is recorded"]
        default: return []
        }
    }

    /// Of an order by a claim.
    func findings(_ condition: ClaimCondition, isMatched: Bool) -> AdministrationAPI.RevocationFindings {
        let name = condition.claim.topLevelName
        let granting = Set(configuration.rules.rules.map(\.issuer))
        let issuers = configuration.issuerNames.filter {
            granting.contains($0)
                && !KeptClaims.areKept(
                    name, of: $0, rules: configuration.rules, keeping: configuration.audit.claims)
        }.map(\.text)
        var warnings = isMatched ? [] : ["0 live sessions match"]
        if !issuers.isEmpty {
            warnings.append(
                "sessions of \(issuers.map(\.string).joined(separator: ", ")) do not keep the claim \(name), so they "
                    + "were not searched: no rule reads it, and audit.claims is not all")
        }
        return AdministrationAPI.RevocationFindings(warnings: warnings, issuersWithoutClaim: issuers)
    }

    /// Which other blocks keep the target out when its own is lifted.
    static func others(
        keepingOut target: Revocation.Target, _ isBlocked: (Revocation.Target) -> Bool
    ) -> [String] {
        var others: [Revocation.Target] = target == .all ? [] : [.all]
        if case .subject(let subject) = target, let issuer = IssuerName(of: subject) { others.append(.issuer(issuer)) }
        return others.filter(isBlocked).map { "\($0) is blocked as well, and stays so" }
    }
}
