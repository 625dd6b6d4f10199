import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

@Suite struct `Uses of provider credentials` {
    private let memory = MemoryStore()
    private let clock = ManualClock()
    private let credentials: ProviderCredentials
    private let provider: ProviderName
    private let caller = Caller.daemon

    init() async throws {
        provider = try #require(ProviderName(parsing: "anthropic"))
        credentials = ProviderCredentials(memory, sealedWith: try MasterKey.generate().0, clock: clock)
        for text in ["one", "two"] {
            _ = try await credentials.add(
                SecretBytes(copying: Array(text.utf8).span), to: provider, by: caller, under: TraceID())
        }
        _ = try await credentials.promote(1, of: provider, by: caller, under: TraceID())
    }

    private func stored() async throws -> [CredentialVersion] {
        try await memory.credentialVersions(of: provider, after: nil, limit: 9)
    }

    @Test func `are shown at once and written together: not one write for each of ten thousand`() async throws {
        let start = clock.now
        var last = start
        for _ in 0..<10_000 {
            _ = try await credentials.open(provider)
            last = clock.now
            clock.advance(by: .milliseconds(1))
        }
        let listed = try await credentials.list(of: provider, after: nil, limit: 9)
        #expect(listed[0].firstUsed == start && listed[0].lastUsed == last)
        #expect(listed[1].firstUsed == nil)
        #expect(try await stored()[0].lastUsed == nil)
        try await credentials.recordUses()
        #expect(try await stored() == listed)
        // Nothing new: nothing is asked of the store.
        memory.fail(with: StoreFailure(.unavailable, "test", cause: "no disk"))
        try await credentials.recordUses()
    }

    @Test func `are kept while the store fails, and never move a first use later or a last one earlier`() async throws {
        let start = clock.now
        _ = try await credentials.open(provider)
        try await credentials.recordUses()
        clock.now = start.addingTimeInterval(-50)
        _ = try await credentials.open(provider)
        memory.fail(with: StoreFailure(.unavailable, "test", cause: "no disk"))
        await #expect(throws: StoreFailure.self) { try await credentials.recordUses() }
        memory.fail(with: nil)
        try await credentials.recordUses()
        let version = try await stored()[0]
        #expect(version.firstUsed == start.addingTimeInterval(-50) && version.lastUsed == start)
    }

    @Test func `of a draining version stop when the next one is opened`() async throws {
        _ = try await credentials.open(provider)
        let last = clock.now
        clock.advance(by: .seconds(10))
        _ = try await credentials.promote(2, of: provider, by: caller, under: TraceID())
        _ = try await credentials.open(provider)
        try await credentials.recordUses()
        #expect(try await stored().map(\.lastUsed) == [last, clock.now])
        #expect(try await stored().map(\.state) == [.draining, .active])
    }

    @Test(arguments: [
        ("anthropic_1", true), ("a_9", true), ("a", false), ("a_0", false), ("a_01", false), ("a_-1", false),
        ("A_1", false), ("a_1_2", false), ("_1", false), ("a_", false), ("a_99999999999999999999", false),
    ])
    func `a page begins behind a version, and a cursor names one`(_ cursor: String, _ isOurs: Bool) async throws {
        let position = CredentialPosition(parsing: ExactString(cursor))
        #expect((position != nil) == isOurs)
        if let position { #expect(position.text.string == cursor) }
        let page = try #require(AdministrationAPI.PageRequest(cursor: ExactString(cursor), limit: 1))
        if isOurs {
            let found = try await credentials.credentials(of: nil, page)
            #expect(found.elements.map(\.version.number) == (cursor == "a_9" ? [1] : [2]))
            #expect(found.next == (cursor == "a_9" ? "anthropic_1" : nil))
        } else {
            await #expect(throws: AdministrationFailure.invalid("the cursor is none of ours")) {
                try await credentials.credentials(of: nil, page)
            }
        }
    }
}
