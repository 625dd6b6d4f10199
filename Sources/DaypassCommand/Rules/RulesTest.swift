import ArgumentParser
import BrokerClient

struct RulesTest: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "test", abstract: "Show what somebody with these claims would be granted, rule by rule.",
        discussion: """
            The file holds the claims of a token as JSON, not the token itself. Whose they are the broker knows by their \
            iss, or else by a sub that is a SPIFFE ID. With --rules the rules in these files are asked instead of those in \
            force, all files together: issuers, trust domains and audiences stay those in force. Signature, expiry, and how \
            often a proof was used are not looked at; of a block it warns. It ends with 1 where nothing would be granted.

            Example: daypass rules test --claims claims.json --scope anthropic:messages
            Example: daypass rules test --claims claims.json --rules config/daypass.yaml config/rules/*.yaml
            """)

    @Option(help: ArgumentHelp("The claims; - reads them from standard input.", valueName: "file"), completion: .file())
    var claims: String

    @Option(help: ArgumentHelp("The issuer whose claims they are.", valueName: "name"))
    var issuer: String?

    @Option(help: ArgumentHelp("The trust domain whose workload it is.", valueName: "name"))
    var trustDomain: String?

    @Option(help: ArgumentHelp("The scope that is asked for; may repeat.", valueName: "scope"))
    var scope: [String] = []

    @Option(help: ArgumentHelp("The rule that the request names.", valueName: "name"))
    var rule: String?

    @Option(
        help: ArgumentHelp(
            "An id that a federation call names, such as organization_id=…; may repeat.", valueName: "parameter=id"))
    var federation: [ClaimCondition] = []

    @OptionGroup var documents: RuleDocuments
    @OptionGroup var broker: BrokerOptions

    /// Of a federation call.
    private static let parameters = ["organization_id", "service_account_id", "workspace_id"]

    func validate() throws {
        guard issuer == nil || trustDomain == nil else {
            throw ValidationError("Give either --issuer or --trust-domain.")
        }
        guard federation.allSatisfy({ Self.parameters.contains($0.claim) }) else {
            throw ValidationError(
                "The parameter of --federation is one of \(Self.parameters.joined(separator: ", ")).")
        }
    }

    func run() async throws {
        let text = try TextFile.read(claims, atMost: TextFile.maximumClaimsLength)
        guard text.contains(where: { !$0.isWhitespace }) else {
            throw CommandFailure(.usage, "\(claims) is empty: it has to hold the claims of a token, as JSON")
        }
        guard !TextFile.isToken(text) else {
            throw CommandFailure(
                .usage, "\(claims) holds a token, which is a secret: give the claims in it, its second part, decoded")
        }
        var order: [String: JSON] = ["claims": .string(text)]
        for (name, value) in [("issuer", issuer), ("trust_domain", trustDomain), ("rule", rule)] {
            order[name] = value.map { .string($0) }
        }
        if !scope.isEmpty { order["scope"] = .string(scope.joined(separator: " ")) }
        if !federation.isEmpty {
            order["federation"] = .object(
                Dictionary(federation.map { ($0.claim, .string($0.value)) }) { _, last in last })
        }
        if let rules = try documents.json() { order["rules"] = rules }
        let body = JSON.object(order)
        try await broker.withClient { client in
            let result = try await client.waitingForTurn("rules/test", body)
            Terminal.warn(of: result)
            if broker.json { try Terminal.print(result) } else { Self.show(result) }
            guard result["granted"]?.flag == true else {
                throw CommandFailure(.refused, "nothing would be granted: \(Self.reason(result))")
            }
        }
    }

    private static func show(_ result: JSON) {
        let isGranted = result["granted"]?.flag == true
        let members = [
            "subject", "granted", "rule", "scope", "audience", "models", "ttl_seconds", "max_session_seconds", "bind",
        ]
        Terminal.print(
            Table(
                [],
                members.filter { result[$0] != nil && (isGranted || $0 != "rule") }.map {
                    [$0, result.cell($0)]
                }))
        TriedRules.print(result)
    }

    private static func reason(_ result: JSON) -> String {
        switch result["reason"]?.text {
        case "no_rule": "no rule matches"
        case "scope": "the rule that matches does not have the whole scope"
        case "target": "the rule that matches does not have the audience"
        case "certificate": "the rule that matches wants a client certificate"
        case "unknown": "whether rule \(result.cell("rule")) matches cannot be told"
        case let other: other ?? "no reason"
        }
    }
}
