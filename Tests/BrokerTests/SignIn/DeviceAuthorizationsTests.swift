import BrokerTesting
import Foundation
import JOSE
import Testing

@testable import Broker

@Suite struct `Devices that wait for approval` {
    let clock = ManualClock()
    let devices: DeviceAuthorizations

    init() {
        devices = DeviceAuthorizations(clock: clock)
    }

    private func begun(
        _ address: String = "192.0.2.7", in devices: DeviceAuthorizations? = nil
    ) throws -> DeviceAuthorizations.Begun {
        let device = DeviceDescription(surface: "claude_code", userAgent: "claude-code/2.1")
        let beginning = try (devices ?? self.devices).begin(from: Self.address(address), asking: device)
        guard case .begun(let begun) = beginning else { throw Refused() }
        return begun
    }

    private static func address(_ text: String) throws -> IPAddress { try #require(IPAddress(parsing: text)) }

    private struct Refused: Error {}

    private static let denial = DeviceDenial(.person, under: TraceID())

    private static func approval() async throws -> Approval {
        let rules = try Fixture.rules(Fixture.rule(texts: [("sub", ["alice"])]))
        let subject = try await Fixture.subject(["sub": "alice"])
        return Approval(
            subject: subject, since: 0, grant: try #require(rules.match(subject, naming: nil).grant),
            email: "alice@example.com")
    }

    private func poll(_ begun: DeviceAuthorizations.Begun, after pause: Duration = .seconds(5)) -> String {
        clock.advance(by: pause)
        return devices.poll(begun.deviceCode).name
    }

    @Test func `A device that somebody approves gets it once`() async throws {
        let begun = try begun()
        #expect(begun.lifetime == .seconds(600) && begun.interval == .seconds(5))
        #expect(begun.deviceCode.count == 43 && begun.userCode.text.utf8.count == 9)
        #expect(poll(begun) == "pending")
        guard case .found(let found) = devices.pending(begun.userCode.text.lowercased(), from: try Self.address("::1"))
        else { throw Refused() }
        #expect(found.device.surface == "claude_code" && found.address == IPAddress(parsing: "192.0.2.7"))
        #expect(devices.approve(found.userCode, with: try await Self.approval()))
        #expect(poll(begun) == "approved")
        #expect(poll(begun) == "expired")
    }

    @Test func `What nothing came of is to be had again`() async throws {
        let begun = try begun()
        let approval = try await Self.approval()
        devices.putBack(approval, of: begun.deviceCode)
        #expect(poll(begun) == "pending", "nobody approved it")
        #expect(devices.approve(begun.userCode, with: approval))
        #expect(poll(begun) == "approved")
        devices.putBack(approval, of: begun.deviceCode)
        #expect(poll(begun) == "approved")
    }

    @Test func `What is denied stays denied, and is approved by nobody afterwards`() async throws {
        let begun = try begun()
        #expect(devices.deny(begun.userCode, Self.denial))
        #expect(!devices.approve(begun.userCode, with: try await Self.approval()))
        #expect(poll(begun) == "denied" && poll(begun) == "denied")
    }

    @Test func `Of two who approve one device the first counts`() async throws {
        let begun = try begun()
        let approval = try await Self.approval()
        #expect(devices.approve(begun.userCode, with: approval))
        #expect(!devices.approve(begun.userCode, with: approval) && !devices.deny(begun.userCode, Self.denial))
        #expect(devices.pending(begun.userCode) == nil)
    }

    @Test func `After ten minutes nothing is left of it`() async throws {
        let begun = try begun()
        clock.advance(by: .seconds(599))
        #expect(devices.pending(begun.userCode) != nil)
        clock.advance(by: .seconds(1))
        #expect(devices.pending(begun.userCode) == nil)
        #expect(!devices.approve(begun.userCode, with: try await Self.approval()))
        #expect(poll(begun) == "expired")
        _ = try self.begun()
        #expect(devices.count == 1, "the one that expired is not kept")
    }

    @Test func `Whoever polls too soon has to wait longer from then on`() throws {
        let begun = try begun()
        #expect(poll(begun, after: .zero) == "pending", "the first may come at once")
        #expect(poll(begun, after: .seconds(1)) == "slowDown")
        #expect(poll(begun, after: .seconds(5)) == "slowDown", "now it is 10 s, and then 15")
        #expect(poll(begun, after: .seconds(15)) == "pending")
        #expect(poll(begun, after: .milliseconds(14_100)) == "pending", "less than a second sooner is the network's")
        for _ in 0..<50 { #expect(poll(begun, after: .zero) == "slowDown") }
        #expect(poll(begun, after: .seconds(60)) == "pending", "more than a minute nobody has to wait")
    }

    @Test(arguments: ["", "x", String(repeating: "A", count: 43), "WDJB-MJHT"])
    func `A device code that there never was is an old one`(code: String) throws {
        _ = try begun()
        #expect(devices.poll(SecretText(code)).name == "expired")
    }

    @Test func `An address has 64 that wait, and ten thousand more keep nobody else out`() throws {
        for _ in 0..<64 { _ = try begun() }
        for _ in 0..<10_000 {
            guard
                case .refused(let pause) = try devices.begin(
                    from: Self.address("192.0.2.7"), asking: DeviceDescription())
            else { throw Refused() }
            #expect(pause > .zero)
        }
        #expect(throws: Refused.self) { try begun("::ffff:192.0.2.7") }
        _ = try begun("192.0.2.8")
        _ = try begun("2001:db8::1")
        #expect(devices.count == 66)
        clock.advance(by: .seconds(600))
        _ = try begun()
    }

    @Test func `What was approved keeps nobody behind the same address from signing in, and what was denied does`()
        async throws
    {
        let approval = try await Self.approval()
        for _ in 0..<200 { #expect(devices.approve(try begun().userCode, with: approval)) }
        for _ in 0..<64 { #expect(devices.deny(try begun().userCode, Self.denial)) }
        #expect(throws: Refused.self) { try begun() }
        clock.advance(by: .seconds(600))
        for _ in 0..<64 { _ = try begun() }
        #expect(throws: Refused.self) { try begun() }
        #expect(devices.count == 64)
    }

    @Test func `A network of many addresses has no more than it may have, and all together neither`() throws {
        var bounds = DeviceAuthorizations.Bounds()
        (bounds.perHolder, bounds.perNetwork, bounds.all) = (2, 3, 5)
        let devices = DeviceAuthorizations(bounds: bounds, clock: clock)
        for host in 1...3 { _ = try begun("2001:db8:7:\(host)::1", in: devices) }
        #expect(throws: Refused.self) { try begun("2001:db8:7:4::1", in: devices) }
        for host in 1...2 { _ = try begun("192.0.2.\(host)", in: devices) }
        #expect(throws: Refused.self) { try begun("198.51.100.1", in: devices) }
    }

    @Test func `Somebody with all of a network keeps nobody else of its IPv6 provider from signing in`() throws {
        for host in 0..<1024 { _ = try begun("2001:db8:7:\(String(host / 64, radix: 16))::1") }
        #expect(throws: Refused.self) { try begun("2001:db8:7:ffff::1") }
        _ = try begun("2001:db8:8::1")
        for network in 16..<23 {
            let prefix = "2001:db8:\(String(network, radix: 16))"
            let hosts = network == 22 ? 1023 : 1024
            for host in 0..<hosts { _ = try begun("\(prefix):\(String(host / 64, radix: 16))::1") }
        }
        #expect(devices.count == 8192)
        #expect(throws: Refused.self, "half of all is the /32's") { try begun("2001:db8:9::1") }
        _ = try begun("2001:db9::1")
        clock.advance(by: .seconds(600))
        _ = try begun("2001:db8:7::1")
        #expect(devices.count == 1)
    }

    @Test func `Ten wrong codes from an address are looked at in an hour, and no right one after them`() throws {
        let begun = try begun()
        let (guesser, other) = (try Self.address("198.51.100.1"), try Self.address("198.51.100.2"))
        for number in 0..<10 {
            #expect(devices.pending(number == 3 ? "no code" : "BBBB-BBBB", from: guesser).name == "wrong")
        }
        #expect(devices.pending(begun.userCode.text, from: guesser).name == "limited")
        #expect(devices.pending(begun.userCode.text, from: other).name == "found")
        clock.advance(by: .seconds(3599))
        #expect(devices.pending("BBBB-BBBB", from: guesser).name == "limited")
        clock.advance(by: .seconds(1))
        #expect(devices.pending("BBBB-BBBB", from: guesser).name == "wrong")
    }

    @Test func `Of many wrong codes at once no more than ten are looked at`() async throws {
        let address = try Self.address("198.51.100.1")
        let looked = await withTaskGroup(of: Bool.self) { [devices] group in
            for _ in 0..<500 { group.addTask { devices.pending("BBBB-BBBB", from: address).name == "wrong" } }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(looked == 10)
    }

    @Test func `Right codes are not counted`() throws {
        let begun = try begun()
        for _ in 0..<50 { #expect(devices.pending(begun.userCode.text, from: try Self.address("::1")).name == "found") }
    }

    @Test func `A network of any number of addresses has a hundred wrong codes`() throws {
        for host in 0..<100 {
            #expect(devices.pending("x", from: try Self.address("2001:db8:7:\(host)::1")).name == "wrong")
        }
        #expect(devices.pending("x", from: try Self.address("2001:db8:7:abcd::1")).name == "limited")
        #expect(devices.pending("x", from: try Self.address("2001:db8:8::1")).name == "wrong")
    }

    @Test func `A thousand wrong codes from an IPv6 provider's networks are looked at, and right ones not counted`()
        throws
    {
        let code = try begun().userCode.text
        for number in 0..<1000 {
            let address = try Self.address("2001:db8:\(number / 50 + 1):\(number / 5)::1")
            #expect(devices.pending("x", from: address).name == "wrong")
            if number < 999 { #expect(devices.pending(code, from: address).name == "found") }
        }
        #expect(devices.pending(code, from: try Self.address("2001:db8:abcd::1")).name == "limited")
        #expect(devices.pending(code, from: try Self.address("2001:db9::1")).name == "found")
        // An address of which all groups have the same bits.
        for _ in 0..<10 { #expect(devices.pending("x", from: try Self.address("::1")).name == "wrong") }
        #expect(devices.pending("x", from: try Self.address("::1")).name == "limited")
    }

    @Test func `What a device says of itself is cut, and turns nothing around`() {
        let device = DeviceDescription(
            surface: "a\u{202E}b\u{7}c", name: ExactString(String(repeating: "x", count: 500)), userAgent: "\u{e9} ")
        #expect(device.surface == "abc" && device.name?.utf8.count == 80 && device.userAgent == nil)
    }
}

extension DeviceAuthorizations.Poll {
    var name: String {
        switch self {
        case .pending: "pending"
        case .slowDown: "slowDown"
        case .denied: "denied"
        case .expired: "expired"
        case .approved: "approved"
        }
    }
}

extension DeviceAuthorizations.Search {
    var name: String {
        switch self {
        case .found: "found"
        case .wrong: "wrong"
        case .limited: "limited"
        }
    }
}
