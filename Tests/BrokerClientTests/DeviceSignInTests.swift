import Foundation
import Synchronization
import Testing

@testable import BrokerClient

@Suite struct `A device that waits to be signed in` {
    /// Time passes where somebody waits.
    private final class Clock: TokenClock {
        private let passed = Mutex<Duration>(.zero)

        var uptime: Duration { passed.withLock(\.self) }
        var wall: Int64 { 1_800_000_000_000 + Int64(uptime / .milliseconds(1)) }

        func wait(_ time: Duration) async { passed.withLock { $0 += time } }
    }

    /// Answers in turn, the last one for good.
    private final class Broker: DeviceEndpoint {
        private let answers: Mutex<[Result<DevicePoll, TokenFailure>]>
        private let clock: Clock
        /// In seconds.
        let asked = Mutex<[Int64]>([])

        init(_ answers: [Result<DevicePoll, TokenFailure>], _ clock: Clock) {
            self.answers = Mutex(answers)
            self.clock = clock
        }

        func poll(_ code: TokenText, within time: Duration) async throws(TokenFailure) -> DevicePoll {
            asked.withLock { $0.append(clock.uptime.components.seconds) }
            let answer = answers.withLock { $0.count > 1 ? $0.removeFirst() : $0[0] }
            return try answer.get()
        }
    }

    private static func granted() throws -> GrantedSignIn {
        let token = try #require(TokenText("t"))
        return GrantedSignIn(
            issued: IssuedToken(token: token, scope: "s", session: "i", lifetime: 900), refresh: TokenText("r"),
            email: nil)
    }

    private func asked(_ lifetime: Int) throws -> DeviceAuthorization {
        DeviceAuthorization(
            code: try #require(TokenText("d")), userCode: "BCDF", page: "https://a/device", notice: nil,
            lifetime: .seconds(lifetime), interval: .seconds(5))
    }

    private static let silent = DevicePoll.unanswered(.unreachable("silent"), after: .zero)

    @Test(arguments: [
        ([DevicePoll.pending, .pending], [5, 10, 15]),
        // Five seconds more, for good, each time.
        ([.slowDown, .pending, .slowDown], [5, 15, 25, 40]),
        // Twice as slowly each time while there is no answer, then as before.
        ([silent, silent, .pending], [5, 15, 35, 40]),
        ([.slowDown, silent, .pending], [5, 15, 35, 45]),
        ([.unanswered(.overloaded("busy", after: .seconds(90)), after: .seconds(90))], [5, 95]),
        ([silent, silent, silent, silent, silent], [5, 15, 35, 75, 135, 195]),
    ])
    func `asks as slowly as it is told, until it is granted`(answers: [DevicePoll], times: [Int64]) async throws {
        let clock = Clock()
        let granted = try Self.granted()
        let broker = Broker(answers.map { .success($0) } + [.success(.granted(granted))], clock)
        #expect(try await DeviceSignIn(broker, clock: clock).granted(asked(600)) == granted)
        #expect(broker.asked.withLock(\.self) == times)
    }

    @Test func `asks no more when its code has ended, and says why nobody approved`() async throws {
        let clock = Clock()
        let broker = Broker([.success(.pending)], clock)
        let failure = await #expect(throws: TokenFailure.self) {
            try await DeviceSignIn(broker, clock: clock).granted(self.asked(20))
        }
        guard case .signedOut = failure else { throw CacheFailure(words: "\(String(describing: failure))") }
        #expect(broker.asked.withLock(\.self) == [5, 10, 15])

        let away = Broker([.success(Self.silent)], clock)
        await #expect(throws: TokenFailure.unreachable("silent")) {
            try await DeviceSignIn(away, clock: clock).granted(self.asked(60))
        }
    }

    @Test func `asks no more once it was denied`() async throws {
        let clock = Clock()
        let broker = Broker([.success(.pending), .failure(.signedOut("denied"))], clock)
        await #expect(throws: TokenFailure.signedOut("denied")) {
            try await DeviceSignIn(broker, clock: clock).granted(self.asked(600))
        }
        #expect(broker.asked.withLock(\.self) == [5, 10])
    }

    private static let answer: [String: JSON] = [
        "device_code": .string("d"), "user_code": .string("BCDF-GHJK"), "expires_in": .integer(600),
        "verification_uri": .string("https://daypass.example.com/device"),
    ]

    @Test func `is told the code and the page, and waits five seconds where nothing is said`() throws {
        let asked = try #require(DeviceAuthorization(.object(Self.answer)))
        #expect(asked.userCode == "BCDF-GHJK" && asked.page == "https://daypass.example.com/device")
        #expect(asked.interval == .seconds(5) && asked.lifetime == .seconds(600) && asked.notice == nil)
        var other = Self.answer
        other["interval"] = .integer(0)
        other["expires_in"] = .integer(1_000_000)
        other["login_notice"] = .string(String(repeating: "n", count: 600))
        other["verification_uri"] = .string("http://127.0.0.1:8080/device")
        let bounded = try #require(DeviceAuthorization(.object(other)))
        #expect(bounded.interval == .seconds(1) && bounded.lifetime == .seconds(3600))
        #expect(bounded.notice?.count == 500)
    }

    @Test(
        arguments: [
            ("device_code", nil), ("device_code", .string("")), ("device_code", .string("a b")), ("user_code", nil),
            ("user_code", .string("")), ("user_code", .string("\u{1B}[2J")), ("user_code", .string("BCDF\nGHJK")),
            ("user_code", .string(String(repeating: "B", count: 65))), ("verification_uri", nil),
            ("verification_uri", .string("javascript:alert(1)")), ("verification_uri", .string("file:///etc/passwd")),
            ("verification_uri", .string("http://daypass.example.com/device")),
            ("verification_uri", .string("https://a/\n--new-window")), ("verification_uri", .string("--help")),
            ("verification_uri", .string("https://user@a/device")), ("expires_in", nil), ("expires_in", .integer(0)),
            ("expires_in", .string("600")), ("interval", .integer(-1)), ("interval", .string("5")),
            ("interval", .integer(100_000)),
        ] as [(String, JSON?)])
    func `takes no answer that is none`(name: String, value: JSON?) {
        var answer = Self.answer
        answer[name] = value
        #expect(DeviceAuthorization(.object(answer)) == nil)
    }
}
