import Broker
import BrokerTesting
import Foundation
import JOSE
import Logging
import NIOHTTP1
import Testing

@Suite(.onOwnThreads) struct `The key set while keys rotate` {
    private let caller = Caller.socket(uid: 0, loginUID: nil, pid: 1)

    /// What the routes publish comes from it at once.
    private func rotation(_ broker: LiveBroker, _ clock: ManualClock) async throws -> KeyRotation {
        let (masterKey, store) = (try MasterKey.generate().0, MemoryStore())
        let keys = try [SigningKeyRecord.State.active, .staged].map {
            try SigningKey.generate(.ES256, state: $0, sealedWith: masterKey, at: clock.now)
        }
        try await store.insertFirstSigningKeys(keys)
        return try KeyRotation(
            store, holding: keys, sealedWith: masterKey, SigningConfiguration(algorithm: .EdDSA),
            publishingIn: broker.state, clock: clock, logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func published(_ broker: LiveBroker) async throws -> (Set<ExactString>, tag: String) {
        let answer = try await broker.send(.GET, "/oauth/jwks")
        #expect(answer.status == 200)
        let tag = try #require(answer.headers.first(name: "ETag"))
        return (Set(try JWKSet(parsing: Array(answer.body.utf8)).keys.keys), tag)
    }

    private func inForce(_ rotation: KeyRotation) async -> Set<ExactString> {
        Set(await rotation.descriptions.filter(\.state.isPublished).map(\.keyID))
    }

    @Test func `GET /oauth/jwks has staged, active and retiring keys and no other, with another tag after each step`()
        async throws
    {
        try await LiveBroker.run { broker in
            let clock = ManualClock()
            let rotation = try await rotation(broker, clock)
            let (first, firstTag) = try await published(broker)
            #expect(await first == inForce(rotation) && first.count == 2)

            let rotated = try await rotation.rotate(force: true, by: caller)
            let (second, secondTag) = try await published(broker)
            #expect(await second == inForce(rotation) && second.count == 3)
            #expect(second.contains(rotated.before))
            // Whoever has the former set is not told that nothing has changed.
            #expect(try await broker.send(.GET, "/oauth/jwks", [("If-None-Match", firstTag)]).status == 200)

            _ = try await rotation.revoke(rotated.active, by: caller)
            let (third, thirdTag) = try await published(broker)
            #expect(await third == inForce(rotation) && !third.contains(rotated.active) && third.count == 3)

            await rotation.tick()
            clock.advance(by: .seconds(26 * 3600))
            await rotation.tick()
            let (fourth, fourthTag) = try await published(broker)
            #expect(await fourth == inForce(rotation) && !fourth.contains(rotated.before) && fourth.count == 2)
            #expect(Set([firstTag, secondTag, thirdTag, fourthTag]).count == 4)
        }
    }

    @Test func `a token passes /verify after a rotation and answers 401 once its key is revoked`() async throws {
        try await LiveBroker.run { broker in
            let rotation = try await rotation(broker, ManualClock())
            let token = try await broker.gatewayToken()
            func status(_ token: String) async throws -> Int {
                let headers = [("Authorization", "Bearer \(token)"), ("Daypass-Require-Model", "claude-sonnet-4")]
                return Int(
                    try await broker.send(.GET, "/verify?scope=anthropic:messages", headers).status)
            }
            #expect(try await status(token) == 200)
            let rotated = try await rotation.rotate(force: true, by: caller)
            #expect(try await status(token) == 200)
            let next = try await broker.gatewayToken()
            _ = try await rotation.revoke(rotated.before, by: caller)
            #expect(try await status(token) == 401)
            #expect(try await status(next) == 200)
        }
    }

    @Test func `the metadata lists the algorithms of the published keys`() async throws {
        try await LiveBroker.run { broker in
            let rotation = try await rotation(broker, ManualClock())
            func algorithms() async throws -> JSONValue? {
                try await broker.send(.GET, "/.well-known/openid-configuration")
                    .json["id_token_signing_alg_values_supported"]
            }
            #expect(try await algorithms() == ["ES256"])
            _ = try await rotation.rotate(force: true, by: caller)
            #expect(try await algorithms() == ["ES256", "EdDSA"])
        }
    }
}
