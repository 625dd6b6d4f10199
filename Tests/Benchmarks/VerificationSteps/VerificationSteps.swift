// What the verification cache costs: a hit, a hit after a revocation, a miss, and the memory of a million tokens.
import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL

/// Usage: VerificationSteps WHAT COUNT [TOKENS]
///
/// - `hit COUNT TOKENS`: asks COUNT times for TOKENS remembered tokens in turn. Nanoseconds each, digest, look-up, revocation
///   check and requirement included. Two runs with different counts under valgrind show what one allocates: nothing.
/// - `answer COUNT`: the same with the lines of the answer written.
/// - `recheck COUNT TOKENS`: the same with a revocation of somebody else before each round.
/// - `miss COUNT TOKENS`: as many different ones of TOKENS tokens (COUNT, if not said), the signature included.
/// - `memory COUNT`: RSS before and after as many tokens are remembered.
/// - `tokens COUNT STORE MASTER-KEY ISSUER AUDIENCE`: as many good tokens, one a line, signed with the active key of a
///   broker's store; before them a line once the store is read and closed.
@main
struct VerificationSteps {
    static func main() async throws {
        let arguments = CommandLine.arguments.dropFirst()
        guard let what = arguments.first, let count = arguments.dropFirst().first.flatMap({ Int($0) }) else {
            print("usage: VerificationSteps hit|answer|recheck|miss|memory|tokens COUNT [TOKENS]")
            exit(2)
        }
        let tokens = arguments.dropFirst(2).first.flatMap { Int($0) } ?? 1
        switch what {
        case "hit", "answer", "recheck": try ask(count, tokens, what)
        case "miss": try miss(count, of: max(count, tokens))
        case "memory": try fill(count)
        case "tokens": try await write(count, Array(arguments.dropFirst(2)))
        default: fatalError("no such measurement: \(what)")
        }
    }

    private static func ask(_ count: Int, _ tokens: Int, _ what: String) throws {
        let bench = try Bench(entries: max(1000, tokens * 5 / 4))
        let texts = try (0..<tokens).map { try bench.token($0) }
        for text in texts { bench.expectAllowed(text) }
        let (answers, rechecks) = (what == "answer", what == "recheck")
        let output = UnsafeMutableRawBufferPointer.allocate(byteCount: 4096, alignment: 16)
        defer { output.deallocate() }
        let start = ContinuousClock.now
        var written = 0
        for number in 0..<count {
            let index = number % tokens
            if rechecks, index == 0 { bench.revokeSomebody() }
            let judgement = bench.judge(texts[index])
            guard case .allow(let token) = judgement.verdict else { fatalError("a good token was denied") }
            if answers { written += token.writeAnswerFields(into: output) }
        }
        let each = start.duration(to: .now) / .nanoseconds(1) / Double(count)
        print("\(what), \(tokens) tokens of \(texts[0].count) bytes: \(Int(each.rounded())) ns each (\(written) bytes)")
    }

    private static func miss(_ count: Int, of tokens: Int) throws {
        let bench = try Bench(entries: 10_000_000)
        let texts = try (0..<tokens).map { try bench.token($0) }
        let start = ContinuousClock.now
        for text in texts[..<count] { bench.expectAllowed(text) }
        let each = start.duration(to: .now) / .microseconds(1) / Double(count)
        print("miss (ES256): \(String(format: "%.1f", each)) µs each")
    }

    private static func fill(_ count: Int) throws {
        let bench = try Bench(entries: 10_000)
        // A part of the entries of shards that are a little fuller than others is not wanted here.
        let roomy = try Bench(like: bench, entries: count * 102 / 100)
        let before = resident()
        for number in 0..<count { roomy.expectAllowed(try roomy.token(number)) }
        let after = resident()
        let taken = Double(after - before)
        print(
            "memory: \(count) tokens with subjects of \(Bench.subject(0).utf8.count) bytes: "
                + "\(String(format: "%.1f", taken / 1048576)) MiB (\(Int(taken) / count) bytes each), "
                + "RSS \(String(format: "%.1f", Double(after) / 1048576)) MiB; \(roomy.remembered) are remembered")
    }

    private static func write(_ count: Int, _ arguments: [String]) async throws {
        guard arguments.count == 4 else { fatalError("STORE, MASTER-KEY, ISSUER and AUDIENCE are needed") }
        let mint = try await BrokersOwnMint(
            store: arguments[0], masterKey: arguments[1], issuer: arguments[2], audience: arguments[3])
        try FileHandle.standardOutput.write(contentsOf: Data("ready\n".utf8))
        for start in stride(from: 0, to: count, by: 100) {
            let lines = try (start..<min(start + 100, count)).map { try mint.token($0) + "\n" }
            try FileHandle.standardOutput.write(contentsOf: Data(lines.joined().utf8))
        }
    }

    private static func resident() -> Int {
        let status = (try? String(contentsOfFile: "/proc/self/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") } ?? ""
        return (Int(line.filter(\.isNumber)) ?? 0) * 1024
    }
}

/// A broker's verifier with a cache, and the key that signs for it.
struct Bench {
    private static let issuer: ExactString = "https://broker.example.com"
    private static let gateway: ExactString = "https://gateway.example.com"
    private static let now = Date(timeIntervalSince1970: 1_800_000_000)

    private let mint: TestIssuer
    private let ring: KeyRing
    private let holder: StateHolder
    private let cache: VerificationCache
    private let verifier: TokenVerifier
    private let requirement: Requirement

    init(entries: Int) throws {
        let (masterKey, _) = try MasterKey.generate()
        let record = try SigningKey.generate(.ES256, state: .active, sealedWith: masterKey, at: Self.now)
        let place = SealedPlace(purpose: "signing-key", table: "signing_keys", id: record.keyID.string, version: 1)
        let der = try masterKey.open(record.sealed, from: place)
        let key = try der.withSpan { span in try PrivateKey(pkcs8: span) }
        let mint = TestIssuer(Self.issuer.string, algorithm: .ES256, keyID: record.keyID, key: key)
        self.init(mint, try KeyRing(opening: [record], with: masterKey), entries: entries)
    }

    init(like other: Bench, entries: Int) throws {
        self.init(other.mint, other.ring, entries: entries)
    }

    private init(_ mint: TestIssuer, _ ring: KeyRing, entries: Int) {
        guard let scope = Scope(parsing: "anthropic:messages") else { fatalError("it is a scope") }
        (self.mint, self.ring) = (mint, ring)
        // As a key is that has been in use for a moment.
        for key in ring.published.values { key.publicKey.prepare() }
        holder = StateHolder(BrokerState(keyRing: ring))
        requirement = Requirement(scopes: [scope])
        cache = VerificationCache(entries: entries)
        verifier = TokenVerifier(
            tokens: TokenConfiguration(issuer: Self.issuer, audiences: [Self.gateway]), policy: VerifyConfiguration(),
            state: holder, cache: cache,
            failures: FailedVerifications(perSecond: 200, clock: SystemClock()))
    }

    /// 49 bytes.
    static func subject(_ number: Int) -> String {
        "github:repo:acme/app-\(String(10_000_000 + number)):ref:refs/heads/main"
    }

    func token(_ number: Int) throws -> [UInt8] {
        let claims = Bench.claims(
            number, issuer: Self.issuer, audience: Self.gateway, from: 1_800_000_000, seconds: 900)
        return Array(try mint.token(claims, header: ["typ": "at+jwt"]).utf8)
    }

    /// As the mint makes them, with ids that follow from the number.
    static func claims(
        _ number: Int, issuer: ExactString, audience: ExactString, from start: Int, seconds: Int
    ) -> JSONObject {
        func id(_ kind: UInt8) -> ExactString {
            let digest = HashAlgorithm.sha256.digest(Array("\(kind) \(number)".utf8))
            return ExactString(Base64URL.encode(Array(digest[..<16])))
        }
        let session = id(2)
        return [
            "iss": .string(issuer), "sub": .string(ExactString(Self.subject(number))), "aud": .string(audience),
            "iat": .number(Double(start)), "nbf": .number(Double(start)), "exp": .number(Double(start + seconds)),
            "jti": .string(id(1)), "sid": .string(session), "lin": [.string(session)], "rev": 0,
            "client_id": "rule:ci-main", "scope": "anthropic:messages anthropic:count_tokens", "rule": "ci-main",
        ]
    }

    @inline(never)
    func judge(_ token: [UInt8]) -> Judgement {
        verifier.judgement(
            on: token.span, requiring: requirement, presentedBy: nil, from: { nil },
            at: Self.now)
    }

    func expectAllowed(_ token: [UInt8]) {
        guard case .allow = judge(token).verdict else { fatalError("a good token was denied") }
    }

    var remembered: Int { cache.size.entries }

    /// Changes the epoch, as any revocation does.
    func revokeSomebody() {
        holder.update { $0 = BrokerState(keyRing: ring, revocations: $0.revocations) }
    }
}
