// What each step of an exchange costs, in one process and on one thread but for the store's own.
import Broker
import BrokerSQLite
import BrokerTesting
import Foundation
import JOSE
import Logging
import OpenSSL

/// Usage: ExchangeSteps [COUNT [STEP [KEY]]]
///
/// Prints microseconds for each step, over COUNT exchanges of distinct tokens. With a STEP (`authenticate`, `match`, `mint`,
/// or `exchange`, all of them with a record in a store that is memory) nothing but that is done, COUNT times for one token:
/// the difference between two runs with different counts is what that many take. KEY is the file of the issuer's RSA key, which
/// it would make otherwise: that takes more instructions at one time, and fewer at another, than all that is counted.
@main
struct ExchangeSteps {
    static func main() async throws {
        let count = CommandLine.arguments.dropFirst().first.flatMap(Int.init) ?? 5000
        if let step = CommandLine.arguments.dropFirst(2).first { return try await again(step, count) }
        let steps = try Steps(count: count)
        let subjects = try await measure("authenticate (RS256)", count) {
            var subjects: [VerifiedSubject] = []
            for token in steps.tokens {
                subjects.append(try await steps.authenticator.authenticate(token, at: steps.now))
            }
            return subjects
        }
        let grants = try await measure("match", count) {
            subjects.compactMap { subject -> Grant? in
                if case .granted(let grant) = steps.rules.match(subject, naming: nil) { grant } else { nil }
            }
        }
        let minted = try await measure("mint (ES256)", count) {
            var minted: [Steps.Minted] = []
            for (subject, grant) in zip(subjects, grants) {
                let kept = KeptClaims.of(
                    subject.claims, signedBy: subject.issuer, rules: steps.rules, keeping: .matched)
                let session = try steps.mint.session(
                    for: subject, since: 0, grant, actor: nil, keeping: kept, at: steps.now)
                let token = try steps.mint.token(of: session, grant, at: steps.now)
                minted.append((token, session, subject.use))
            }
            return minted
        }
        try await measure("record, 32 callers", count) { try await steps.record(minted) }
        await steps.store.close()
        try FileManager.default.removeItem(at: steps.folder)
        precondition(grants.count == count, "a token was not granted anything")
    }

    private static func again(_ step: String, _ count: Int) async throws {
        let key = try CommandLine.arguments.dropFirst(3).first.map { path in
            let pem = Array(try Data(contentsOf: URL(filePath: path)))
            return try PrivateKey(pem: pem.span)
        }
        let steps = try Steps(count: 1, issuerKey: key)
        defer { try? FileManager.default.removeItem(at: steps.folder) }
        let token = steps.tokens[0]
        let subject = try await steps.authenticator.authenticate(token, at: steps.now)
        guard case .granted(let grant) = steps.rules.match(subject, naming: nil) else { fatalError("it is granted") }
        for _ in 0..<count {
            switch step {
            case "authenticate": _ = try await steps.authenticator.authenticate(token, at: steps.now)
            case "match":
                guard case .granted = steps.rules.match(subject, naming: nil) else { fatalError("it is granted") }
            case "mint":
                let kept = KeptClaims.of(
                    subject.claims, signedBy: subject.issuer, rules: steps.rules, keeping: .matched)
                let session = try steps.mint.session(
                    for: subject, since: 0, grant, actor: nil, keeping: kept, at: steps.now)
                _ = try steps.mint.token(of: session, grant, at: steps.now)
            case "exchange":
                _ = try await steps.exchange.exchange(
                    ExchangeRequest(trace: TraceID(at: steps.now), client: "192.0.2.7", subject: .proof(token)))
            default: fatalError("no such step: \(step)")
            }
        }
        await steps.store.close()
    }

    @discardableResult
    private static func measure<Value>(
        _ name: String, _ count: Int, _ body: () async throws -> Value
    ) async throws -> Value {
        let start = (wall: ContinuousClock.now, processor: clock())
        let value = try await body()
        let wall = start.wall.duration(to: .now) / .microseconds(1)
        let processor = Double(clock() - start.processor) / Double(CLOCKS_PER_SEC) * 1e6
        let padded = name.padding(toLength: 24, withPad: " ", startingAt: 0)
        print("\(padded) \(format(wall / Double(count))) µs wall  \(format(processor / Double(count))) µs processor")
        return value
    }

    private static func format(_ number: Double) -> String {
        String(format: "%8.2f", number)
    }
}

/// Everything that the steps need, made before anything is measured.
private struct Steps {
    let now = Date()
    let tokens: [SecretText]
    let authenticator: JWTAuthenticator
    let rules: RuleSet
    let mint: TokenMint
    /// The whole path, which records in memory.
    let exchange: TokenExchange
    let folder: URL
    let store: SQLiteStore

    init(count: Int, issuerKey: PrivateKey? = nil) throws {
        let url = "https://issuer.example.com"
        let issuer =
            if let issuerKey {
                TestIssuer(url, algorithm: .RS256, keyID: JWK.thumbprint(of: issuerKey.publicKey), key: issuerKey)
            } else {
                try TestIssuer(url)
            }
        guard let name = IssuerName(parsing: "ci"), let scope = Scope(parsing: "anthropic:messages"),
            let terms = GrantTerms(
                scope: [scope], timeToLive: .seconds(900), audiences: ["https://gateway.example.com"]),
            let path = ClaimPath(parsing: "repository_id"), let reference = ClaimPath(parsing: "ref"),
            let rule = Rule(
                name: "ci", issuer: name,
                matchers: [
                    ClaimMatcher(claim: path, anyOf: [.text(try Glob(parsing: "123456"))]),
                    ClaimMatcher(claim: reference, anyOf: [.text(try Glob(parsing: "refs/heads/*"))]),
                ], terms: terms)
        else { fatalError("the benchmark's own values are sound") }
        let configuration = IssuerConfiguration(
            name: name, issuer: ExactString(issuer.issuer), audience: "https://daypass.example.com",
            keys: .inline(try issuer.keySet, path: ""))
        let clock = SystemClock()
        authenticator = JWTAuthenticator([
            TrustedIssuer(
                configuration: configuration, keys: IssuerKeys(name: name, keys: try issuer.keySet, clock: clock))
        ])
        rules = try RuleSet([rule], issuers: [configuration], broker: "https://daypass.example.com")
        let moment = now
        tokens = try (0..<count).map { number in
            let claims = issuer.claims(subject: "repo:acme/app\(number):ref:refs/heads/main", at: moment).merging([
                "jti": .string(ExactString("\(number)")), "repository_id": "123456", "ref": "refs/heads/main",
                "run_id": .string(ExactString("\(number)")), "event_name": "push", "actor": "someone",
            ])
            return SecretText(try issuer.token(claims))
        }
        let (masterKey, _) = try MasterKey.generate()
        let key = try SigningKey.generate(.ES256, state: .active, sealedWith: masterKey, at: now)
        let ring = try KeyRing(opening: [key], with: masterKey)
        let state = BrokerState(keyRing: ring)
        mint = TokenMint(issuer: "https://broker.example.com", state: { state }, random: SystemRandom())
        var unlimited = configuration
        unlimited.replay = .off
        let trusted = TrustedIssuer(
            configuration: unlimited, keys: IssuerKeys(name: name, keys: try issuer.keySet, clock: clock))
        let gatewayTokens = TokenConfiguration(
            issuer: "https://broker.example.com", audiences: ["https://gateway.example.com"])
        exchange = TokenExchange(
            authenticator: JWTAuthenticator([trusted]), rules: rules, mint: mint,
            verifier: TokenVerifier(tokens: gatewayTokens, policy: VerifyConfiguration(), state: StateHolder(state)),
            store: MemoryStore(), keptClaims: .matched, clock: clock, logger: Logger(label: "benchmark"))
        folder = FileManager.default.temporaryDirectory.appending(path: "daypass-bench-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        store = try SQLiteStore(
            path: folder.appending(path: "bench.db").path(percentEncoded: false), .creating,
            logger: Logger(label: "benchmark"))
    }

    /// What is to be recorded, and the presentation that it uses up.
    typealias Minted = (GatewayToken, SessionRecord, SubjectTokenUse?)

    /// Records all sessions, 32 at a time.
    func record(_ minted: [Minted]) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for caller in 0..<32 {
                group.addTask {
                    for index in stride(from: caller, to: minted.count, by: 32) {
                        let (token, session, use) = minted[index]
                        let event = AuditEvent(
                            time: now, trace: TraceID(at: Date()), kind: .exchangeGranted, issuer: session.issuer,
                            subject: session.subject, rule: session.rule, sessionID: session.id, tokenID: token.id,
                            details: ["claims": .object(session.claims), "scope": ["anthropic:messages"]])
                        guard let use else {
                            try await store.record(session, event)
                            continue
                        }
                        let outcome = try await store.record(session, event, using: use)
                        precondition(outcome == .recorded, "a token was presented twice")
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
