internal import Broker
internal import JOSE

/// The entries of `issuers`
struct IssuerSection {
    /// More are an error.
    static let maximumCount = 1000

    let configurations: [IssuerConfiguration]
    /// The names of all entries, also of those with errors, so that these are not reported again at their rules.
    let names: [IssuerName: Place]

    init(configurations: [IssuerConfiguration], names: [IssuerName: Place]) {
        self.configurations = configurations
        self.names = names
    }

    /// - Parameters:
    ///   - tokenIssuer: `iss` of our own tokens, which no issuer may have, and what `audience` is by default.
    ///   - shared: what every entry for a shared issuer has to demand.
    init(
        _ nodes: [YAMLNode], tokenIssuer: ExactString?, shared: SharedIssuers, files: any ConfigurationFiles,
        problems: Problems
    ) {
        var configurations: [IssuerConfiguration] = []
        var names: [IssuerName: Place] = [:]
        var audiences: [ExactString: Set<ExactString>] = [:]
        for node in nodes {
            let entry = IssuerEntry(
                node, tokenIssuer: tokenIssuer, shared: shared, files: files, problems: problems)
            if let name = entry.name, let place = entry.namePlace {
                if let first = names[name] {
                    problems.add(place, "expected a name of its own: \(name) is the issuer at \(first)")
                } else {
                    names[name] = place
                }
            }
            if let issuer = entry.issuer, let audience = entry.audience,
                !audiences[issuer, default: []].insert(audience).inserted
            {
                problems.add(
                    entry.audiencePlace,
                    "expected another audience: an entry before this one has the same issuer and audience")
            }
            if let configuration = entry.configuration { configurations.append(configuration) }
        }
        self.configurations = configurations
        self.names = names
    }
}

/// One entry, as far as it could be read.
private struct IssuerEntry {
    var name: IssuerName?
    var namePlace: Place?
    var issuer: ExactString?
    var audience: ExactString?
    var audiencePlace: Place
    var configuration: IssuerConfiguration?

    static let keys = [
        "name", "issuer", "audience", "keys", "algorithms", "max_lifetime", "replay", "require_one_of", "allow_private",
    ]

    init(
        _ node: YAMLNode, tokenIssuer: ExactString?, shared: SharedIssuers, files: any ConfigurationFiles,
        problems: Problems
    ) {
        audiencePlace = node.place
        let fields = Fields(node, "an issuer", known: Self.keys, problems: problems)
        guard let fields else { return }
        namePlace = fields["name"]?.place
        name = fields.required("name").flatMap { Self.name($0, problems) }
        let allowsPrivate = fields["allow_private"].map { $0.bool(problems) } ?? false
        // Where that is unreadable, plain HTTP is not an error of its own.
        let allowsHTTP = allowsPrivate ?? true
        let issuer = fields.required("issuer").flatMap {
            Self.issuer($0, allowsHTTP: allowsHTTP, tokenIssuer: tokenIssuer, problems)
        }
        audiencePlace = fields["audience"]?.place ?? node.place
        audience = fields["audience"].map { $0.audience(problems) } ?? tokenIssuer
        let algorithms = fields["algorithms"].map { Self.algorithms($0, problems) } ?? [.RS256]
        let lifetime =
            fields["max_lifetime"].map { $0.duration(problems, atMost: IssuerConfiguration.longestLifetime) }
            ?? .seconds(3600)
        let replay = fields["replay"].map { ReplaySection.policy($0, problems: problems) } ?? .standard
        let claims = fields["require_one_of"].map {
            Self.requiredClaims($0, shared: issuer.flatMap { shared.requirement(of: $0) }, problems)
        }
        let required = claims ?? issuer.flatMap { shared.requirement(of: $0) } ?? []
        let keys = KeySection.source(
            fields["keys"], algorithms: algorithms, allowsHTTP: allowsHTTP, files: files, problems: problems)
        self.issuer = issuer
        guard let name, let issuer, let audience, let keys, let algorithms, let lifetime, let replay,
            let required, let allowsPrivate
        else { return }
        configuration = IssuerConfiguration(
            name: name, issuer: issuer, audience: audience, keys: keys, algorithms: Set(algorithms),
            maximumLifetime: lifetime, requiredClaims: required, allowsPrivateAddresses: allowsPrivate, replay: replay)
    }

    private static func name(_ node: YAMLNode, _ problems: Problems) -> IssuerName? {
        let expected = "a name of 1 to 63 of a-z, 0-9 and -, beginning with a letter, and not spiffe"
        return node.text(problems, expected: expected).flatMap {
            IssuerName(parsing: $0) ?? node.refused(problems, "expected \(expected)")
        }
    }

    /// An issuer has neither query nor fragment (OpenID Connect Discovery 1.0 §3, RFC 8414 §2).
    private static func issuer(
        _ node: YAMLNode, allowsHTTP: Bool, tokenIssuer: ExactString?, _ problems: Problems
    ) -> ExactString? {
        let expected =
            "the URL of an issuer, https (http only for a loopback host, with allow_private: true), "
            + "without user, query and fragment"
        guard let text = node.text(problems, expected: expected) else { return nil }
        guard let address = WebAddress(parsing: text), !address.hasQuery, !address.hasFragment,
            address.isSecure || (address.isLoopback && allowsHTTP)
        else { return node.refused(problems, "expected \(expected)") }
        guard ExactString(text) != tokenIssuer else {
            return node.refused(problems, "expected another issuer than tokens.issuer, which is this broker itself")
        }
        return ExactString(text)
    }

    private static func algorithms(_ node: YAMLNode, _ problems: Problems) -> [JWSAlgorithm]? {
        let all = JWSAlgorithm.allCases.map(\.rawValue).joined(separator: ", ")
        return node.list(problems, of: "algorithms")?.unique(problems) { node in
            node.text(problems, expected: "one of \(all)").flatMap {
                JWSAlgorithm(ExactString($0)) ?? node.refused(problems, "expected one of \(all)")
            }
        }
    }

    /// - Parameter shared: what is demanded of a shared issuer in any case; an entry may only choose among it.
    private static func requiredClaims(
        _ node: YAMLNode, shared: [ExactString]?, _ problems: Problems
    ) -> [ExactString]? {
        node.list(problems, of: "claims", limit: 16)?.unique(problems) { node in
            guard let claim = MatchSection.claim(node, problems)?.text else { return nil }
            if let shared, !shared.contains(claim) {
                let names = shared.map(\.string).joined(separator: ", ")
                return node.refused(
                    problems,
                    "expected one of \(names): this issuer is shared by many organisations, which only these tell apart"
                )
            }
            return claim
        }
    }
}
