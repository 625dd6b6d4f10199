import BrokerClient
import FoundationEssentials

/// Variables by which clients send something else than a gateway token, or send it elsewhere.
struct VariableFindings {
    private(set) var findings: [Finding] = []

    private let variables: ClientVariables
    private let setup: CheckedSetup
    private let broker: BrokerMetadata?

    /// Seen with Claude Code 2.1.330: each is sent in place of what a helper or federation gives, or beside it.
    private static let stray = ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"]
    /// Wins over federation, and gives way to a helper.
    private static let signedIn = "CLAUDE_CODE_OAUTH_TOKEN"
    /// With each of them Claude Code asks another provider's service.
    private static let otherServices = ["CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"]

    private var hasClient: Bool { setup.helper != nil || setup.federation != nil }

    /// - Parameter broker: nil where it did not answer.
    init(_ variables: ClientVariables, _ setup: CheckedSetup, _ broker: BrokerMetadata?) async {
        (self.variables, self.setup, self.broker) = (variables, setup, broker)
        var hasGatewayToken = false
        for name in Self.stray + (setup.helper == nil ? [Self.signedIn] : []) {
            if let value = variables.environment[name] {
                hasGatewayToken = await check(name, value, "the environment") || hasGatewayToken
            }
            for file in variables.settings {
                guard let value = file.variable(name) else { continue }
                hasGatewayToken = await check(name, value, file.path) || hasGatewayToken
            }
        }
        checkFederation()
        guard hasClient || hasGatewayToken else { return }
        for name in Self.otherServices {
            guard let value = variables[name], !["0", "false", "no", "off"].contains(value.lowercased()) else {
                continue
            }
            findings.append(
                .problem("gateway", "\(name) is set: requests go there, and not to the gateway", do: "unset \(name)"))
        }
        checkGateway()
    }

    private mutating func checkFederation() {
        guard let federation = Federation(variables) else { return }
        findings += federation.findings
        if let helper = setup.helper {
            return findings.append(
                .warning(
                    "federation", "it is set up, and Claude Code uses the helper of \(helper.settings.path)",
                    do: "keep the one or the other"))
        }
        for name in federation.missing where federation.findings.isEmpty {
            let about = "\(name) is not set, others of federation are"
            findings.append(
                name == "ANTHROPIC_SERVICE_ACCOUNT_ID"
                    ? .warning("federation", about, do: "set it where the rule lists one under federation")
                    : .problem("federation", about, do: "set \(name), or unset them all"))
        }
    }

    private mutating func checkGateway() {
        let remedy = "set it to your gateway's address, or run daypass setup claude-code"
        guard let gateway = setup.federation?.gateway ?? variables["ANTHROPIC_BASE_URL"] else {
            return findings.append(
                .problem(
                    "gateway", "ANTHROPIC_BASE_URL is not set: requests, and the token, go to the provider", do: remedy)
            )
        }
        if GatewayAddress.isProviders(gateway) {
            findings.append(
                .problem(
                    "gateway", "ANTHROPIC_BASE_URL is the provider: requests, and the token, go there", do: remedy))
        }
    }

    /// - Returns: whether it is a gateway token, by what it says of itself.
    private mutating func check(_ name: String, _ value: String, _ place: String) async -> Bool {
        let remedy = place == "the environment" ? "unset \(name)" : "take \(name) out of \(place)"
        guard let claims = UnverifiedClaims(of: value), let issuer = claims.issuer, let broker,
            issuer.utf8.elementsEqual(broker.issuer.utf8)
        else {
            findings.append(
                .problem(
                    "variables", "\(name) is set in \(place), and is sent in place of the gateway token", do: remedy))
            return false
        }
        let about = "\(name) in \(place) is a gateway token"
        guard !hasClient else {
            findings.append(
                .problem(
                    "variables", "\(about) that is sent in place of a fresh one, and that nobody renews", do: remedy))
            return true
        }
        let anew = "unset \(name), or start anew with daypass exec"
        guard let end = claims.end else {
            findings.append(.problem("variables", "\(about) that does not say when it ends", do: anew))
            return true
        }
        let words = "\(about), which ends at \(end.formatted(.iso8601))"
        let answer = await answer(to: value, claims)
        switch end > Date() ? answer : .bad {
        case .good: findings.append(.good("variables", words))
        case .bad: findings.append(.problem("variables", "\(words): the broker takes it no more", do: anew))
        case .unknown: findings.append(.warning("variables", "\(words); the broker has no word on it", do: "ask again"))
        }
        return true
    }

    private func answer(to value: String, _ claims: UnverifiedClaims) async -> TokenCheck {
        guard let token = TokenText(value), let origin = setup.url.flatMap({ BrokerAddress.origin(parsing: $0) }) else {
            return .bad
        }
        let client = TokenExchangeClient(
            origin, scope: nil, rule: nil, authorities: setup.authorities, certificate: nil)
        return await client.check(token, scope: claims.scope ?? "anthropic:messages", within: .seconds(5))
    }
}
