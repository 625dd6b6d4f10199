// How long it takes to revoke the subject of many sessions, and the sessions that a condition names, over a store in a file.
import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import Logging

/// Prints milliseconds from the request to its acknowledgement, by when it is in force and durable, over `count` live
/// sessions of one subject, 10,000 of which a condition names.
@main
struct RevocationSteps {
    static func main() async throws {
        let count = CommandLine.arguments.dropFirst().first.flatMap(Int.init) ?? 100_000
        let bench = try await RevocationSteps()
        try await bench.fill(count)
        guard let condition = ClaimCondition(parsing: "batch=nightly") else { fatalError("it is a condition") }
        for (name, revoke) in [
            ("subject", { _ = try await bench.revoke(.subject(bench.subject)) }),
            ("condition", { _ = try await bench.revocations.revoke(where: condition, by: .daemon) }),
        ] as [(String, () async throws -> Void)] {
            let token = try await bench.token()
            precondition(bench.isGood(token), "a token of a live session is good")
            let took = try await ContinuousClock().measure { try await revoke() } / .milliseconds(1)
            let isRefused = !bench.isGood(token)
            print("\(name): acknowledged after \(String(format: "%.2f", took)) ms; refused then: \(isRefused)")
            precondition(isRefused == (name == "subject"))
        }
        await bench.store.close()
        try FileManager.default.removeItem(at: bench.folder)
    }

    let subject: ExactString = "ci:alice"
    let folder: URL
    let store: SQLiteStore
    let revocations: Revocations
    private let name: IssuerName
    private let issuer: TestIssuer
    private let verifier: TokenVerifier
    private let exchange: TokenExchange

    init() async throws {
        let logger = Logger(label: "benchmark")
        guard let name = IssuerName(parsing: "ci"), let scope = Scope(parsing: "anthropic:messages"),
            let terms = GrantTerms(
                scope: [scope], timeToLive: .seconds(900), audiences: ["https://gateway.example.com"]),
            let path = ClaimPath(parsing: "sub"),
            let rule = Rule(
                name: "ci", issuer: name,
                matchers: [ClaimMatcher(claim: path, anyOf: [.text(try Glob(parsing: "alice"))])], terms: terms)
        else { fatalError("the benchmark's own values are sound") }
        self.name = name
        issuer = try TestIssuer("https://issuer.example.com")
        let configuration = IssuerConfiguration(
            name: name, issuer: ExactString(issuer.issuer), audience: "https://daypass.example.com",
            keys: .inline(try issuer.keySet, path: ""))
        let clock = SystemClock()
        let (masterKey, _) = try MasterKey.generate()
        let key = try SigningKey.generate(.ES256, state: .active, sealedWith: masterKey, at: clock.now)
        let state = StateHolder(BrokerState(keyRing: try KeyRing(opening: [key], with: masterKey)))
        folder = FileManager.default.temporaryDirectory.appending(path: "daypass-bench-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        store = try SQLiteStore(
            path: folder.appending(path: "bench.db").path(percentEncoded: false), .creating, logger: logger,
            reserve: SQLiteStore.standardReserve)
        store.ask { state.current.revocations }
        revocations = Revocations(store, publishedIn: state, clock: clock, logger: logger)
        try await revocations.restore()
        let tokens = TokenConfiguration(
            issuer: "https://broker.example.com", audiences: ["https://gateway.example.com"])
        verifier = TokenVerifier(tokens: tokens, policy: VerifyConfiguration(), state: state)
        let keys = IssuerKeys(name: name, keys: try issuer.keySet, clock: clock)
        exchange = TokenExchange(
            authenticator: JWTAuthenticator([TrustedIssuer(configuration: configuration, keys: keys)]),
            rules: try RuleSet([rule], issuers: [configuration], broker: "https://broker.example.com"),
            mint: TokenMint(issuer: tokens.issuer, state: { state.current }, random: SystemRandom()),
            verifier: verifier, store: store, keptClaims: .matched, clock: clock, logger: logger)
    }

    func fill(_ count: Int) async throws {
        let now = Date()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<256 {
                group.addTask {
                    for index in stride(from: caller, to: count, by: 256) {
                        let batch: JSONValue = index < 10_000 ? "nightly" : "daily"
                        let session = SessionRecord(
                            id: try SystemRandom().identifier(at: now), issuer: name, subject: subject, rule: "ci",
                            start: now, end: now.addingTimeInterval(3600), claims: ["sub": "alice", "batch": batch])
                        let event = AuditEvent(
                            time: now, trace: TraceID(at: now), kind: .exchangeGranted, issuer: name, subject: subject,
                            rule: "ci", sessionID: session.id, details: [:])
                        try await store.record(session, event)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    func token() async throws -> SecretText {
        let claims = issuer.claims(subject: "alice", at: Date()).merging([
            "jti": .string(ExactString(UUID().uuidString))
        ])
        let proof = SecretText(try issuer.token(claims))
        let request = ExchangeRequest(
            trace: TraceID(), client: "192.0.2.7", subject: .proof(proof), actorToken: nil, scope: nil, targets: [])
        return try await exchange.exchange(request).accessToken
    }

    func isGood(_ token: SecretText) -> Bool {
        (try? verifier.claims(of: token, presentedBy: nil, at: Date())) != nil
    }

    func revoke(_ target: Revocation.Target) async throws -> RevocationOutcome {
        let outcome = try await revocations.revoke(RevocationRequest(target), by: .daemon)
        precondition(outcome.isDurable, "the disk has room")
        return outcome
    }
}
