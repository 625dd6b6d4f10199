import Broker
import BrokerTesting
import FoundationEssentials
import JOSE
import Synchronization
import Testing

/// For every call into the random source and the clock: that one fails or jumps, and all later ones do.
@Suite struct `Whichever call of an exchange fails` {
    private enum Step: CaseIterable {
        case exchange, renewal, narrowing
    }

    /// A session of before, and what `step` asks for.
    private func request(_ step: Step, of opened: ExchangeResponse, _ bench: ExchangeBench) throws -> ExchangeRequest {
        switch step {
        case .exchange: try bench.request(bench.token(["jti": "t2"]))
        case .renewal: try bench.renewal(of: opened.accessToken)
        case .narrowing: try bench.renewal(of: opened.accessToken, scope: ["a:read"])
        }
    }

    /// Does it, and finds a token with its session on the record, or neither a token nor a record of one.
    /// - Returns: whether it was granted.
    private func isGranted(_ request: ExchangeRequest, _ bench: ExchangeBench) async throws -> Bool {
        let before = (sessions: bench.store.sessions.count, events: bench.store.events.count)
        let response: ExchangeResponse
        do throws(ExchangeRefusal) {
            response = try await bench.exchange.exchange(request)
        } catch {
            let granting: [AuditEvent.Kind] = [.exchangeGranted, .sessionRenewed, .sessionNarrowed]
            #expect(bench.store.sessions.count == before.sessions)
            #expect(bench.store.events.dropFirst(before.events).allSatisfy { !granting.contains($0.kind) })
            return false
        }
        let payload = TokenSegments(response.accessToken.reveal()).payload
        let claims = try JSONReader.readObject(Base64URL.decode(ExactString(payload)), depth: 16)
        let event = try #require(bench.store.events.last)
        #expect(bench.store.events.count == before.events + 1)
        #expect(event.tokenID.map { .string($0) } == claims["jti"])
        #expect(event.sessionID == response.sessionID)
        let session = try #require(try await bench.store.session(response.sessionID))
        #expect(claims["sid"] == .string(session.id))
        let (issued, expiry) = (try #require(claims["iat"]?.number), try #require(claims["exp"]?.number))
        #expect(issued < expiry && expiry <= session.end.timeIntervalSince1970)
        return true
    }

    @Test(arguments: Step.allCases)
    private func `no randomness is no token, and nothing on the record that says so`(step: Step) async throws {
        var granted: [Bool] = []
        // An earlier session takes the first two.
        for call in 3...6 {
            let bench = try ExchangeBench(random: ScriptedRandom(failingFromCall: call))
            let opened = try await bench.opened()
            let request = try request(step, of: opened, bench)
            granted.append(try await isGranted(request, bench))
            if granted.last == false {
                #expect(await bench.refusal(request)?.name == "unavailable")
            }
        }
        #expect(granted == (step == .renewal ? [false, true, true, true] : [false, false, true, true]))
    }

    @Test(arguments: Step.allCases, [-34_560_000, -3, 3, 34_560_000] as [Double])
    private func `a clock that jumps leaves no token without its record`(step: Step, jump: Double) async throws {
        var calls = 1
        var granted: [Bool] = []
        while true {
            let jumping = Mutex<JumpingClock?>(nil)
            let bench = try ExchangeBench(wrapClock: { clock in
                let made = JumpingClock(clock)
                jumping.withLock { $0 = made }
                return made
            })
            let clock = try #require(jumping.withLock { $0 })
            let request = try request(step, of: try await bench.opened(), bench)
            clock.jump(by: jump, atCall: calls)
            granted.append(try await isGranted(request, bench))
            guard clock.hasJumped else { break }
            calls += 1
            try #require(calls < 100)
        }
        #expect(calls > 2 && granted.last == true, "without a jump it is granted")
    }
}

/// The wall clock of another one, but for a jump at some call; what is monotonic stays so.
private final class JumpingClock: BrokerClock {
    private let clock: ManualClock
    private let state = Mutex((callsLeft: Int.max, jump: 0.0))

    init(_ clock: ManualClock) {
        self.clock = clock
    }

    func jump(by seconds: Double, atCall call: Int) {
        state.withLock { $0 = (call, seconds) }
    }

    var hasJumped: Bool { state.withLock { $0.callsLeft <= 0 } }

    var now: Date { clock.now.addingTimeInterval(count()) }
    var uptime: Duration { clock.uptime + .seconds(max(0, count())) }

    private func count() -> Double {
        state.withLock { state in
            state.callsLeft -= 1
            return state.callsLeft <= 0 ? state.jump : 0
        }
    }
}
