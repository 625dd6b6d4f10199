import BrokerTesting
import Foundation
import Testing

@testable import BrokerClient

@Suite struct `A sign-in that is kept` {
    private let folder: TemporaryFolder
    private let clock = SystemTokenClock()

    init() throws {
        folder = try TemporaryFolder()
    }

    private func store(_ origin: String = "https://a") throws -> SignInStore {
        try #require(SignInStore(origin, in: ["HOME": folder.path]))
    }

    @discardableResult private func keep(
        _ text: String = "refresh", _ origin: String = "https://a"
    ) async throws -> SavedSignIn {
        let store = try store(origin)
        let token = try #require(TokenText(text))
        let lock = try await store.lock(until: clock.uptime + .seconds(5), clock)
        return try store.keep(token, email: "ada@example.com", at: 1_800_000_000_000, lock)
    }

    @Test func `is in a file of this user's alone, and found again`() async throws {
        let store = try store()
        #expect(try !store.isThere && store.saved() == nil)
        let kept = try await keep()
        #expect(try store.isThere && store.saved() == kept && kept.email == "ada@example.com")
        #expect(try store.token(of: kept).reveal() == "refresh")
        for (path, wanted) in [(store.path, 0o600), ("\(folder.path)/.local/state/daypass", 0o700)] {
            let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int
            #expect(mode == wanted, "\(path)")
        }
        #expect(!"\(kept)".contains("refresh") && kept.id.utf8.count == 32)
    }

    @Test func `is another one each time, and the same one with its next token`() async throws {
        let (first, second) = (try await keep(), try await keep("other"))
        #expect(first.id != second.id)
        let store = try store()
        let next = try #require(TokenText("next"))
        let lock = try await store.lock(until: clock.uptime + .seconds(5), clock)
        try store.replace(second, with: next, lock)
        let saved = try #require(try store.saved())
        #expect(try saved.id == second.id && saved.since == second.since && store.token(of: saved) == next)
        try store.remove(saved, lock)
        #expect(try !store.isThere && store.saved() == nil)
    }

    @Test func `is of its broker alone, also where somebody copies it`() async throws {
        try await keep()
        let (mine, other) = (try store(), try store("https://b"))
        #expect(try !other.isThere && other.saved() == nil)
        try FileManager.default.copyItem(atPath: mine.path, toPath: other.path)
        #expect(throws: TokenFailure.self) { try other.saved() }
    }

    @Test(arguments: ["", "{", "[]", #"{"version":2}"#, #"{"version":1}"#])
    func `is not used where it is damaged`(text: String) async throws {
        try await keep()
        let store = try store()
        try FileHandle(forWritingTo: URL(filePath: store.path)).truncate(atOffset: 0)
        let file = try FileHandle(forWritingTo: URL(filePath: store.path))
        try file.write(contentsOf: Data(text.utf8))
        let failure = #expect(throws: TokenFailure.self) { try store.saved() }
        guard case .signedOut(let words) = failure else { throw CacheFailure(words: "\(String(describing: failure))") }
        #expect(words.contains("is not used") && words.contains("daypass login"))
        // It is written over.
        try await keep("anew")
        #expect(try store.saved() != nil)
    }

    @Test func `is not used where others have had access`() async throws {
        try await keep()
        let store = try store()
        chmod(store.path, 0o640)
        #expect(throws: TokenFailure.self) { try store.saved() }
        chmod(store.path, 0o600)
        chmod("\(folder.path)/.local/state/daypass", 0o750)
        #expect(throws: TokenFailure.self) { try store.saved() }
    }

    @Test func `is used by one at a time`() async throws {
        let store = try store()
        let lock = try await store.lock(until: clock.uptime + .seconds(5), clock)
        let failure = await #expect(throws: TokenFailure.self) {
            try await store.lock(until: self.clock.uptime, self.clock)
        }
        // Not that nobody is signed in: it is asked again.
        guard case .unreachable = failure else { throw CacheFailure(words: "\(String(describing: failure))") }
        withExtendedLifetime(lock) {}
    }
}
