import BrokerTesting
import Foundation
import Synchronization
import Testing

@testable import BrokerClient

/// In milliseconds since 1970.
private let start: Int64 = 1_800_000_000_000

@Suite struct `A session of tokens` {
    /// Time passes where somebody waits, and where the broker is slow.
    private final class Clock: TokenClock {
        private let passed = Mutex<Duration>(.zero)
        private let shift = Mutex<Int64>(0)

        var uptime: Duration { passed.withLock(\.self) }
        var wall: Int64 { start + shift.withLock(\.self) + Int64(uptime / .milliseconds(1)) }
        private let later = Mutex<(at: Duration, body: @Sendable () -> Void)?>(nil)

        func wait(_ time: Duration) async { pass(time) }

        /// Does something once, while somebody waits.
        func then(_ time: Duration, _ body: @escaping @Sendable () -> Void) {
            later.withLock { $0 = (uptime + time, body) }
        }
        func pass(_ time: Duration) {
            passed.withLock { $0 += time }
            let due = later.withLock { later in
                guard let (at, body) = later, at <= uptime else { return nil as (@Sendable () -> Void)? }
                later = nil
                return body
            }
            due?()
        }
        func set(by milliseconds: Int64) { shift.withLock { $0 += milliseconds } }
    }

    private final class FakeBroker: TokenEndpoint, ProofSource {
        struct State {
            var answers: [Result<Int, TokenFailure>] = []
            var renewal: Result<Int, TokenFailure> = .failure(.refused("no"))
            var check = TokenCheck.good
            var proofFails: TokenFailure?
            var scope = "anthropic:messages other"
            var slowest = Duration.zero
            var calls: [String] = []
            /// The longest that was given, by call.
            var given: [String: Duration] = [:]
            var issued = 0
        }

        let state = Mutex(State())
        let clock: Clock

        init(_ clock: Clock) {
            self.clock = clock
        }

        func proof(within time: Duration) async throws(TokenFailure) -> Proof {
            let (failure, count) = state.withLock { state in
                state.calls.append("proof")
                state.given["proof"] = time
                return (state.proofFails, state.calls.count)
            }
            if let failure { throw failure }
            guard let token = TokenText("proof-\(count)") else { throw .unusable("") }
            return .identityToken(token)
        }

        func exchange(_ proof: Proof, within time: Duration) async throws(TokenFailure) -> IssuedToken {
            guard time > .zero else { throw .unreachable("no time") }
            let (answer, number, scope) = state.withLock { state in
                var answer = state.renewal
                if case .gatewayToken = proof {
                    state.calls.append("renew")
                } else {
                    state.calls.append("exchange")
                    state.given["exchange"] = time
                    answer =
                        state.answers.count > 1 ? state.answers.removeFirst() : state.answers.first ?? .success(900)
                }
                state.issued += 1
                return (answer, state.issued, state.scope)
            }
            let lifetime = try answer.get()
            guard let token = TokenText("token-\(number)") else { throw .unusable("") }
            return IssuedToken(token: token, scope: scope, session: "s", lifetime: lifetime)
        }

        var slowestAnswer: Duration { state.withLock(\.slowest) }

        func check(_ token: TokenText, scope: String, within time: Duration) async -> TokenCheck {
            state.withLock { state in
                state.calls.append("check")
                state.given["check"] = time
                return state.check
            }
        }

        var calls: [String] {
            state.withLock { state in
                defer { state.calls = [] }
                return state.calls
            }
        }
    }

    /// One user's cache, clock and broker.
    private final class Stage: Sendable {
        let folder: TemporaryFolder
        let clock = Clock()
        let broker: FakeBroker
        let notes = Mutex<[String]>([])

        init() throws {
            folder = try TemporaryFolder()
            broker = FakeBroker(clock)
        }

        var cache: TokenCache {
            get throws { try TokenCache(try #require(CachePlace(in: ["XDG_CACHE_HOME": folder.path])), key: "k") }
        }

        func token(
            _ minimumLife: Duration = .seconds(360), of proof: Distinction.Proof = .inKey, isFresh: Bool = false
        ) async throws -> String {
            let session = TokenSession(
                broker, broker, try cache, proof: proof, minimumLife: minimumLife, isFresh: isFresh, clock: clock,
                note: { note in self.notes.withLock { $0.append(note) } })
            return try await session.token().token.reveal()
        }

        func failure() async throws -> TokenFailure {
            let failure = await #expect(throws: TokenFailure.self) { try await self.token() }
            return try #require(failure)
        }

        func set(_ change: (inout FakeBroker.State) -> Void) { broker.state.withLock { change(&$0) } }

        var noted: [String] { notes.withLock(\.self) }
    }

    @Test func `exchanges once, serves from the cache, and asks about it after two seconds`() async throws {
        let stage = try Stage()
        #expect(try await stage.token() == "token-1")
        #expect(stage.broker.calls == ["proof", "exchange"])
        stage.clock.pass(.seconds(2))
        #expect(try await stage.token() == "token-1")
        #expect(stage.broker.calls == [])
        stage.clock.pass(.milliseconds(1))
        #expect(try await stage.token() == "token-1")
        #expect(stage.broker.calls == ["check"])
        stage.clock.pass(.seconds(2))
        #expect(try await stage.token() == "token-1")
        #expect(stage.broker.calls == [], "the check is noted")
        #expect(stage.noted == [])
    }

    @Test func `prints what it has where the check gets no answer, and asks again next time`() async throws {
        let stage = try Stage()
        _ = try await stage.token()
        stage.set { $0.check = .unknown }
        stage.clock.pass(.seconds(3))
        #expect(try await stage.token() == "token-1")
        #expect(try await stage.token() == "token-1")
        #expect(stage.broker.calls == ["proof", "exchange", "check", "check"])
    }

    @Test func `exchanges where the broker says that the kept one is no good, and forgets that one`() async throws {
        let stage = try Stage()
        _ = try await stage.token()
        stage.set { $0.check = .bad }
        stage.clock.pass(.seconds(3))
        #expect(try await stage.token() == "token-2")
        #expect(stage.broker.calls.suffix(3) == ["check", "proof", "exchange"])
        stage.clock.pass(.seconds(3))
        stage.set { $0.answers = [.failure(.unreachable("gone"))] }
        #expect(try await stage.failure() == .unreachable("gone"))
        stage.set { $0.check = .unknown }
        #expect(try await stage.failure() == .unreachable("gone"), "what was refused once is never served again")
    }

    @Test func `renews where less is left than is wanted, and not before`() async throws {
        let stage = try Stage()
        _ = try await stage.token()
        stage.clock.pass(.seconds(540))
        #expect(try await stage.token() == "token-1")
        stage.clock.pass(.milliseconds(1))
        #expect(try await stage.token() == "token-2")
    }

    @Test(arguments: [
        TokenFailure.unreachable("x"), .overloaded("x", after: .seconds(60)), .unreadable("x"), .noIdentity("x"),
        .refused("x"),
    ])
    func `serves the kept one while it is valid and none can be got, with a line`(failure: TokenFailure) async throws {
        let stage = try Stage()
        _ = try await stage.token()
        stage.clock.pass(.seconds(800))
        stage.set { $0.answers = [.failure(failure)] }
        #expect(try await stage.token() == "token-1")
        #expect(stage.noted == ["the token is not renewed, and ends in 100 s: x"])
        stage.clock.pass(.seconds(100))
        #expect(try await stage.failure() == failure, "an ended one is not served")
    }

    @Test func `that is refused does not serve a kept token that is no good either`() async throws {
        let stage = try Stage()
        _ = try await stage.token()
        stage.clock.pass(.seconds(800))
        stage.set {
            $0.answers = [.failure(.refused("blocked"))]
            $0.check = .bad
        }
        #expect(try await stage.failure() == .refused("blocked"))
        stage.set { $0.check = .unknown }
        #expect(try await stage.failure() == .refused("blocked"))
    }

    @Test(arguments: [TokenFailure.noIdentity("expired"), .refused("expired")])
    func `renews the token by itself where the identity proves nothing any more`(failure: TokenFailure) async throws {
        let stage = try Stage()
        _ = try await stage.token()
        stage.clock.pass(.seconds(600))
        stage.set {
            if case .noIdentity = failure { $0.proofFails = failure } else { $0.answers = [.failure(failure)] }
            $0.renewal = .success(900)
        }
        let renewed = try await stage.token()
        #expect(renewed != "token-1" && stage.noted == [])
        #expect(try await stage.token() == renewed)
        // One that ends no later is of no use.
        stage.clock.pass(.seconds(600))
        stage.set { $0.renewal = .success(300) }
        #expect(try await stage.token() == renewed)
        #expect(stage.noted.count == 1)
    }

    @Test func `comes again when it is asked to, with a fresh proof each time`() async throws {
        let stage = try Stage()
        stage.set {
            $0.answers = [
                .failure(.overloaded("a", after: .seconds(2))), .failure(.overloaded("b", after: .seconds(3))),
                .success(900),
            ]
        }
        #expect(try await stage.token() == "token-3")
        #expect(stage.broker.calls == ["proof", "exchange", "proof", "exchange", "proof", "exchange"])
        #expect(stage.clock.uptime == .seconds(5))
    }

    @Test func `does not wait for what is later than its end`() async throws {
        let stage = try Stage()
        stage.set { $0.answers = [.failure(.overloaded("later", after: .seconds(9)))] }
        #expect(try await stage.failure() == .overloaded("later", after: .seconds(9)))
        #expect(stage.clock.uptime == .zero)
        stage.set { $0.answers = [.failure(.overloaded("again", after: .seconds(1)))] }
        #expect(try await stage.failure() == .overloaded("again", after: .seconds(1)))
        #expect(stage.clock.uptime < TokenSession.longest)
    }

    @Test func `gives a short-lived token out, and asks for another each time`() async throws {
        let stage = try Stage()
        stage.set { $0.answers = [.success(60)] }
        #expect(try await stage.token() == "token-1")
        stage.clock.pass(.milliseconds(1))
        #expect(try await stage.token() == "token-2")
    }

    @Test(arguments: [-3_600_000, 3_600_000] as [Int64])
    func `exchanges where the clock was set by an hour meanwhile`(change: Int64) async throws {
        let stage = try Stage()
        _ = try await stage.token()
        stage.clock.set(by: change)
        #expect(try await stage.token() == "token-2")
        #expect(try await stage.token() == "token-2")
    }

    @Test func `never keeps tokens for the broker itself`() async throws {
        let stage = try Stage()
        stage.set { $0.scope = "daypass:admin" }
        _ = try await stage.token()
        #expect(try await stage.token() == "token-2")
        #expect(try stage.cache.entry() == nil)
    }

    @Test func `of a process that is stopped in the middle keeps nobody for longer than seven and a half seconds`()
        async throws
    {
        let stage = try Stage()
        guard case .taken(let lock) = try stage.cache.lock() else { throw CacheFailure(words: "not locked") }
        #expect(try await stage.token() == "token-1")
        #expect(stage.clock.uptime >= .seconds(7.5) && stage.clock.uptime < .seconds(7.6))
        #expect(try stage.cache.entry() == nil, "who has no lock keeps nothing")
        withExtendedLifetime(lock) {}
    }

    @Test(arguments: [
        TokenFailure.refused("no"), .overloaded("later", after: .seconds(60)), .unreachable("x"), .noIdentity("y"),
        .unusable("z"), .unreadable("w"),
    ])
    func `is told what another was told while it waited, and not what was said before`(failure: TokenFailure)
        async throws
    {
        let stage = try Stage()
        stage.set { $0.answers = [.failure(failure)] }
        #expect(try await stage.failure() == failure)
        #expect(try await stage.failure() == failure)
        #expect(stage.broker.calls.count { $0 == "exchange" } == 2, "nobody waited")
        // What only this process lacks is nobody else's business.
        let isShared = ![TokenFailure.noIdentity("y"), .unusable("z")].contains(failure)
        #expect(try stage.cache.failure(since: 0) == (isShared ? failure : nil))
        // Another process fails in the middle of this one's waiting.
        let cache = try stage.cache
        let held = Mutex<TokenCache.Lock?>(nil)
        if case .taken(let lock) = cache.lock() { held.withLock { $0 = lock } }
        stage.clock.then(.milliseconds(500)) {
            held.withLock { lock in
                if let lock { cache.keep(failure, at: stage.clock.wall, lock) }
                lock = nil
            }
        }
        #expect(try await stage.failure() == failure)
        #expect(stage.broker.calls == [])
    }

    @Test func `asks for a fresh one though one is kept, and serves that only with the life that is wanted`()
        async throws
    {
        let stage = try Stage()
        #expect(try await stage.token() == "token-1")
        stage.clock.pass(.milliseconds(1))
        #expect(try await stage.token(isFresh: true) == "token-2")
        #expect(try await stage.token() == "token-2", "it is kept for others")
        stage.set { $0.answers = [.failure(.unreachable("x"))] }
        stage.clock.pass(.milliseconds(1))
        #expect(try await stage.token(isFresh: true) == "token-2")
        stage.clock.pass(.seconds(541))
        await #expect(throws: TokenFailure.unreachable("x")) { try await stage.token(isFresh: true) }
        #expect(try await stage.token() == "token-2")
    }

    @Test func `of a file that was written anew is renewed, and served where that cannot be`() async throws {
        let stage = try Stage()
        #expect(try await stage.token(of: .unreadable) == "token-1")
        let first = Distinction.Proof.digest(try #require(TokenText("proof-1")).digest)
        #expect(try await stage.token(of: first) == "token-1")
        #expect(try await stage.token(of: .unreadable) == "token-1")
        #expect(stage.broker.calls == ["proof", "exchange"])
        let another = Distinction.Proof.digest("another")
        stage.set { $0.answers = [.failure(.unreachable("x"))] }
        #expect(try await stage.token(of: another) == "token-1")
        for failure in [TokenFailure.refused("x"), .noIdentity("x")] {
            stage.set {
                $0.answers = [.failure(failure)]
                $0.renewal = .success(900)
            }
            await #expect(throws: failure, "whoever it is now, it is somebody else") {
                try await stage.token(of: another)
            }
        }
        stage.set { $0.answers = [.success(900)] }
        #expect(try await stage.token(of: another) != "token-1")
    }

    @Test func `has nine seconds in all, four where it has another, and half a one for a check`() async throws {
        let stage = try Stage()
        _ = try await stage.token()
        #expect(stage.broker.state.withLock { $0.given } == ["proof": .seconds(9), "exchange": .seconds(9)])
        stage.clock.pass(.seconds(600))
        stage.set { $0.answers = [.failure(.unreachable("x"))] }
        _ = try await stage.token()
        #expect(stage.broker.state.withLock { $0.given["exchange"] } == .seconds(4))
        // What has ended when the renewal would be given up is nothing to hurry for.
        stage.clock.pass(.seconds(297))
        _ = try await stage.token()
        #expect(stage.broker.state.withLock { $0.given["exchange"] } == .seconds(9))
        stage.set { $0.answers = [.success(900)] }
        _ = try await stage.token()
        stage.clock.pass(.seconds(3))
        _ = try await stage.token()
        #expect(stage.broker.state.withLock { $0.given["check"] } == .milliseconds(500))
    }

    @Test func `begins nothing whose answer it could not wait for, and waits for what it has begun`() async throws {
        let stage = try Stage()
        stage.set { $0.slowest = .milliseconds(5500) }
        _ = try await stage.token()
        stage.clock.pass(.seconds(600))
        stage.set { $0.answers = [.failure(.overloaded("busy", after: .seconds(1)))] }
        _ = stage.broker.calls
        _ = try await stage.token()
        // 8 s, then 7 s, then 6 s are left, and then too little.
        #expect(stage.broker.calls.count { $0 == "exchange" } == 3)
        #expect(stage.broker.state.withLock { $0.given["exchange"] } == .seconds(6))
    }

    @Test func `without a cache exchanges each time`() async throws {
        let stage = try Stage()
        for number in 1...2 {
            let session = TokenSession(
                stage.broker, stage.broker, nil, minimumLife: .seconds(360), clock: stage.clock, note: { _ in })
            #expect(try await session.token().token.reveal() == "token-\(number)")
        }
    }

    @Test func `whose cache cannot be written gives out the token all the same, with a line`() async throws {
        let stage = try Stage()
        _ = try stage.cache
        // A folder in the place of the file that is written.
        let name = "\(Fingerprint.hexadecimal(of: "k".utf8)).new"
        try FileManager.default.createDirectory(
            atPath: "\(stage.folder.path)/daypass/\(name)", withIntermediateDirectories: false)
        #expect(try await stage.token() == "token-1")
        #expect(stage.noted.count == 1 && stage.noted[0].hasPrefix("the token is not kept: "))
    }
}
