internal import Broker
internal import JOSE

/// `sign_in`
enum SignInSection {
    static func configuration(
        _ node: YAMLNode, issuers: IssuerSection, files: any ConfigurationFiles, problems: Problems
    ) -> SignInConfiguration? {
        let fields = Fields(
            node, "sign_in", known: ["issuer", "client_id", "client_secret_file", "scopes", "parameters"],
            problems: problems)
        guard let fields else { return nil }
        let issuer = fields.required("issuer").flatMap { issuerName($0, issuers, problems) }
        let clientID = fields.required("client_id")?.text(
            problems, expected: "the id that the issuer knows the broker by")
        let secret = fields["client_secret_file"].map { $0.path(problems, expected: "the path of a file") }
        let scopes = fields["scopes"].map { Self.scopes($0, problems) } ?? SignInConfiguration.standardScopes
        let parameters = fields["parameters"].map { Self.parameters($0, problems) } ?? []
        guard let issuer, let clientID, secret != .some(nil), let scopes, let parameters else { return nil }
        if let configured = issuers.configurations.first(where: { $0.name == issuer }),
            configured.audience != ExactString(clientID)
        {
            // An ID token's audience is the client that asked for it (OpenID Connect Core §2).
            return fields["client_id"]?.refused(
                problems, "expected the audience of the issuer \(issuer), which is \(configured.audience.string.quoted)"
            )
        }
        return SignInConfiguration(
            issuer: issuer, clientID: ExactString(clientID), clientSecretFile: (secret ?? nil).map(files.absolutePath),
            scopes: scopes, parameters: parameters)
    }

    private static func issuerName(_ node: YAMLNode, _ issuers: IssuerSection, _ problems: Problems) -> IssuerName? {
        guard let text = node.text(problems, expected: "the name of an issuer") else { return nil }
        guard let name = IssuerName(parsing: text), issuers.names[name] != nil else {
            return node.refused(problems, "expected the name of one of the issuers")
        }
        return name
    }

    private static func parameters(_ node: YAMLNode, _ problems: Problems) -> [SignInConfiguration.Parameter]? {
        guard case .mapping(let entries) = node.content, (1...16).contains(entries.count) else {
            return node.refused(problems, "expected a mapping of 1 to 16 parameters to their values")
        }
        let parameters = entries.map { entry -> SignInConfiguration.Parameter? in
            let keyNode = YAMLNode(place: entry.place, content: .scalar(entry.key, isPlain: false))
            guard let name = keyNode.text(problems, expected: "the name of a parameter", limit: 64) else { return nil }
            guard !SignInConfiguration.ownParameters.contains(ExactString(name)) else {
                return keyNode.refused(problems, "\(name) is not to be configured: the broker sets it, or uses none")
            }
            return entry.value.text(problems, expected: "text, in quotes where it could be a number").map {
                SignInConfiguration.Parameter(name: ExactString(name), value: ExactString($0))
            }
        }
        return parameters.contains { $0 == nil } ? nil : parameters.compactMap(\.self)
    }

    private static func scopes(_ node: YAMLNode, _ problems: Problems) -> [ExactString]? {
        guard let nodes = node.list(problems, of: "scopes") else { return nil }
        let limit = SignInConfiguration.maximumScopeLength
        let texts = nodes.map { $0.text(problems, expected: "a scope", limit: limit) }
        guard texts.allSatisfy({ $0 != nil }) else { return nil }
        let scopes = texts.compactMap { $0 }
        // RFC 6749 §3.3
        let areFormed = scopes.allSatisfy {
            $0.utf8.allSatisfy { (0x21...0x7E).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
        }
        guard areFormed, scopes.contains("openid") else {
            return node.refused(
                problems, "expected scopes without spaces, quotes and backslashes, \"openid\" among them")
        }
        return scopes.map { ExactString($0) }
    }
}
