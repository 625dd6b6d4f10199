import Broker
import BrokerTesting
import Foundation
import JOSE
import Testing

@Suite struct `Attenuation` {
    @Test func `less scope opens a session below, with what it had otherwise`() async throws {
        let rules = [try ExchangeBench.main(ExchangeBench.terms(models: ["m-*"]))]
        let bench = try ExchangeBench(rules: rules)
        let parent = try await bench.opened(actor: bench.actorToken(), targets: ["https://second.example.com"])
        bench.clock.advance(by: .seconds(60))
        let request = try bench.renewal(of: parent.accessToken, scope: ["a:write"])
        let child = try await bench.exchange.exchange(request)
        let (before, after) = (try bench.claims(parent), try bench.claims(child))
        for name: ExactString in ["iss", "sub", "aud", "rev", "client_id", "rule", "act", "authorization_details"] {
            #expect(before[name] != nil && after[name] == before[name], "\(name)")
        }
        #expect(child.sessionID != parent.sessionID)
        #expect(child.scope.map(\.text) == ["a:write"] && after["scope"] == "a:write")
        #expect(after["lin"] == [.string(parent.sessionID), .string(child.sessionID)])

        let session = try #require(bench.store.sessions.last)
        #expect(bench.store.sessions.count == 2)
        #expect(session.id == child.sessionID && session.lineage == [parent.sessionID, child.sessionID])
        #expect(session.start == bench.clock.now)
        #expect(session.claims == bench.store.sessions[0].claims)
        let event = try #require(bench.store.events.last)
        #expect(event.kind == .sessionNarrowed && event.trace == request.trace && event.sessionID == child.sessionID)
        #expect(event.details["scope"] == ["a:write"])
        #expect(event.tokenID == after["jti"]?.string)
    }

    @Test func `a child ends with the token that it was made from, and no renewal changes that`() async throws {
        let bench = try ExchangeBench()
        let parent = try await bench.opened()
        bench.clock.advance(by: .seconds(600))
        let child = try await bench.renewed(parent, scope: ["a:read"])
        #expect(child.lifetime == 300)
        #expect(try bench.claims(child)["exp"] == bench.claims(parent)["exp"])
        bench.clock.advance(by: .seconds(200))
        let renewed = try await bench.renewed(child)
        #expect(renewed.lifetime == 100)
        // The parent's session goes on.
        let renewedParent = try await bench.renewed(parent)
        #expect(renewedParent.lifetime == 900)
        #expect(renewedParent.scope.map(\.text) == ["a:read", "a:write"])
        bench.clock.advance(by: .seconds(100))
        #expect(try await bench.refusal(renewing: renewed) == "subjectToken: expired")
        #expect(try await bench.refusal(renewing: renewedParent) == nil)
    }

    @Test func `a child of a renewed parent lasts as long as that token`() async throws {
        let bench = try ExchangeBench()
        let parent = try await bench.opened()
        bench.clock.advance(by: .seconds(800))
        let renewed = try await bench.renewed(parent)
        #expect(try await bench.renewed(parent, scope: ["a:read"]).lifetime == 100)
        #expect(try await bench.renewed(renewed, scope: ["a:read"]).lifetime == 900)
    }

    @Test func `a child cannot widen back, and stays narrow when it is renewed`() async throws {
        let bench = try ExchangeBench()
        var child = try await bench.renewed(bench.opened(), scope: ["a:read"])
        for _ in 0..<3 {
            for scope in [["a:write"], ["a:read", "a:write"], ["a:admin"], []] {
                #expect(try await bench.refusal(renewing: child, scope: scope) == "scope: scope")
            }
            let renewed = try await bench.renewed(child)
            #expect(renewed.sessionID == child.sessionID)
            #expect(renewed.scope.map(\.text) == ["a:read"])
            #expect(try bench.claims(renewed)["lin"] == bench.claims(child)["lin"])
            child = renewed
        }
        #expect(bench.store.sessions.count == 2)
        #expect(bench.store.events.last?.kind == .sessionRenewed)
    }

    @Test func `there are children of children to the eighth session, and no ninth`() async throws {
        let scope = (0..<12).map { "s\($0)" }
        let bench = try ExchangeBench(rules: [ExchangeBench.main(ExchangeBench.terms(scope: scope))])
        var token = try await bench.opened()
        var lineage = [token.sessionID]
        for depth in 2...8 {
            token = try await bench.renewed(token, scope: Array(scope.dropLast(depth)))
            lineage.append(token.sessionID)
            #expect(try bench.claims(token)["lin"] == .array(lineage.map { .string($0) }))
            #expect(token.scope.count == 12 - depth)
        }
        #expect(Set(lineage).count == 8)
        #expect(try await bench.refusal(renewing: token, scope: ["s0"]) == "subjectToken: lineage")
        #expect(try await bench.refusal(renewing: token, actor: bench.actorToken()) == "subjectToken: lineage")
        let renewed = try await bench.renewed(token)
        #expect(renewed.sessionID == token.sessionID, "it may still be renewed")
        #expect(try await bench.refusal(renewing: renewed, scope: ["s0"]) == "subjectToken: lineage")
        #expect(bench.store.sessions.count == 8)
    }

    @Test func `no child outlives any of those above it`() async throws {
        let scope = (0..<9).map { "s\($0)" }
        let bench = try ExchangeBench(rules: [ExchangeBench.main(ExchangeBench.terms(scope: scope))])
        var tokens = [try await bench.opened()]
        for depth in 1...7 {
            bench.clock.advance(by: .seconds(100))
            tokens.append(try await bench.renewed(tokens[depth - 1], scope: Array(scope.dropLast(depth))))
        }
        #expect(try tokens.map { try bench.claims($0)["exp"] } == Array(repeating: 1_800_000_900, count: 8))
        #expect(bench.store.sessions.dropFirst().allSatisfy { $0.end == Fixture.now.addingTimeInterval(900) })
        bench.clock.advance(by: .seconds(200))
        for token in tokens.dropFirst() { #expect(try await bench.refusal(renewing: token) == "subjectToken: expired") }
    }

    @Test func `siblings have sessions of their own`() async throws {
        let bench = try ExchangeBench()
        let parent = try await bench.opened()
        let children = try await withThrowingTaskGroup(of: ExactString.self) { group in
            for _ in 0..<50 { group.addTask { try await bench.renewed(parent, scope: ["a:read"]).sessionID } }
            return try await group.reduce(into: Set<ExactString>()) { $0.insert($1) }
        }
        #expect(children.count == 50)
        #expect(bench.store.sessions.dropFirst().allSatisfy { $0.lineage == [parent.sessionID, $0.id] })
    }

    @Test func `a child that cannot be recorded is no child`() async throws {
        let bench = try ExchangeBench()
        let parent = try await bench.opened()
        // The random source hands out the parent's id again.
        let session = try #require(bench.store.sessions.first)
        let again = try ExchangeBench(
            random: ScriptedRandom(Array(try Base64URL.decode(session.id).dropFirst(6))), after: bench)
        let request = try again.renewal(of: parent.accessToken, scope: ["a:read"])
        #expect(await again.refusal(request)?.name == "unavailable")
        #expect(bench.store.sessions.count == 1 && bench.store.events.count == 1)
    }

    @Test func `narrowing at the exchange itself opens one session, not two`() async throws {
        let bench = try ExchangeBench()
        let token = try await bench.opened(scope: ["a:read"])
        #expect(try bench.claims(token)["lin"] == [.string(token.sessionID)])
        #expect(bench.store.sessions.count == 1)
        #expect(try await bench.refusal(renewing: token, scope: ["a:read", "a:write"]) == "scope: scope")
        #expect(try await bench.renewed(token).scope.map(\.text) == ["a:read"])
    }
}
