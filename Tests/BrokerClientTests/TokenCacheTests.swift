import BrokerTesting
import Foundation
import Testing

@testable import BrokerClient

@Suite struct `A kept token` {
    private static let now: Int64 = 1_800_000_000_000

    private func held(_ text: String = "a.b.c", lifetime: Int = 900, at now: Int64 = now) throws -> HeldToken {
        let token = try #require(TokenText(text))
        return HeldToken(IssuedToken(token: token, scope: "s", session: "sid", lifetime: lifetime), received: now)
    }

    private func cache(_ folder: TemporaryFolder, _ key: String = "key") throws -> TokenCache {
        try TokenCache(try place(folder), key: key)
    }

    private func place(_ folder: TemporaryFolder) throws -> CachePlace {
        try #require(CachePlace(in: ["XDG_CACHE_HOME": folder.path]))
    }

    private func lock(_ cache: TokenCache) throws -> TokenCache.Lock {
        guard case .taken(let lock) = cache.lock() else { throw CacheFailure(words: "not locked") }
        return lock
    }

    private func files(_ folder: TemporaryFolder) throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/daypass").sorted()
    }

    private func entryFile(_ folder: TemporaryFolder) throws -> String {
        let name = try #require(try files(folder).first { $0.hasSuffix(".token") })
        return "\(folder.path)/daypass/\(name)"
    }

    @Test func `is read again by whoever asks for the same, and by nobody else`() throws {
        let folder = try TemporaryFolder()
        let (first, held) = (try cache(folder), try held())
        #expect(try first.entry() == nil)
        try first.keep(held, lock(first))
        let again = try #require(try cache(folder).entry())
        #expect(again.held == held && again.checked == Self.now)
        #expect(try cache(folder, "another").entry() == nil)
        for name in try files(folder) {
            let mode = try FileManager.default.attributesOfItem(atPath: "\(folder.path)/daypass/\(name)")[
                .posixPermissions]
            #expect(mode as? Int == 0o600, "\(name)")
        }
        let mode = try FileManager.default.attributesOfItem(atPath: "\(folder.path)/daypass")[.posixPermissions]
        #expect(mode as? Int == 0o700)
    }

    @Test func `of another key is not served under the name of this one`() throws {
        let folder = try TemporaryFolder()
        let other = try cache(folder, "other")
        try other.keep(held(), lock(other))
        let mine = "\(folder.path)/daypass/\(Fingerprint.hexadecimal(of: "key".utf8)).token"
        try FileManager.default.moveItem(atPath: entryFile(folder), toPath: mine)
        #expect(try cache(folder).entry() == nil)
    }

    @Test(arguments: [
        "", "{", "null", "[]", #"{"version":1}"#, #"{"version":2,"key":"key"}"#, #"{"version":"1","key":"key"}"#,
        #"{"version":1,"key":"key","access_token":"a b","scope":"s","session_id":"","proof":"","received":1,"end":2}"#,
        #"{"version":1,"key":"key","access_token":"a","scope":"s","session_id":"","proof":"","received":2,"end":2}"#,
        #"{"version":1,"key":"key","access_token":"a","scope":"s","session_id":"","proof":"","received":1,"end":9e300}"#,
        #"{"version":1,"key":"key","access_token":"a","scope":"s","session_id":"","proof":"","received":1,"end":90000000}"#,
        String(repeating: "x", count: 40_000),
    ])
    func `that is damaged, or of a newer version, is named without its text and written over`(text: String) throws {
        let folder = try TemporaryFolder()
        let cache = try cache(folder)
        try cache.keep(held(), lock(cache))
        try Data(text.utf8).write(to: URL(filePath: entryFile(folder)))
        chmod(try entryFile(folder), 0o600)
        if text == #"{"version":1}"# {
            #expect(try cache.entry() == nil)
        } else {
            let failure = #expect(throws: CacheFailure.self) { try cache.entry() }
            let words = try #require(failure).words
            #expect(words.contains(".token is ") && words.hasSuffix(", and is not used"))
            #expect(words.contains("version of this program (2)") == text.contains(":2,\"key\""))
        }
        try cache.keep(held("d.e.f"), lock(cache))
        #expect(try cache.entry()?.held.token == TokenText("d.e.f"))
    }

    @Test func `cut off anywhere is damaged, and never half a token`() throws {
        let folder = try TemporaryFolder()
        let cache = try cache(folder)
        try cache.keep(held(), lock(cache))
        let whole = try Data(contentsOf: URL(filePath: entryFile(folder)))
        for count in 0..<whole.count {
            try whole.prefix(count).write(to: URL(filePath: entryFile(folder)))
            chmod(try entryFile(folder), 0o600)
            #expect(throws: CacheFailure.self) { try cache.entry() }
        }
    }

    @Test func `that others can read, a link, and a second name of a file are not used`() throws {
        let folder = try TemporaryFolder()
        let cache = try cache(folder)
        try cache.keep(held(), lock(cache))
        let file = try entryFile(folder)
        chmod(file, 0o640)
        #expect(throws: CacheFailure.self) { try cache.entry() }
        chmod(file, 0o600)
        link(file, "\(file)2")
        #expect(throws: CacheFailure.self) { try cache.entry() }
        unlink(file)
        symlink("\(file)2", file)
        #expect(throws: CacheFailure.self) { try cache.entry() }
    }

    @Test(.enabled(if: geteuid() == 0)) func `is in no folder of another user, and none is made in his home`() throws {
        let folder = try TemporaryFolder()
        _ = try cache(folder)
        chown("\(folder.path)/daypass", 65534, 65534)
        let failure = #expect(throws: CacheFailure.self) { try cache(folder) }
        #expect(failure?.words.hasSuffix("it belongs to somebody else") == true)
        try FileManager.default.createDirectory(atPath: "\(folder.path)/home", withIntermediateDirectories: false)
        chown("\(folder.path)/home", 65534, 65534)
        let place = try #require(CachePlace(in: ["HOME": "\(folder.path)/home"]))
        #expect(throws: CacheFailure.self) { try TokenCache(place, key: "key") }
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/home") == [])
    }

    @Test func `and its lock that has gone is not held by who locked it before`() throws {
        let folder = try TemporaryFolder()
        let (first, second) = (try cache(folder), try cache(folder))
        let old = try lock(first)
        let name = try #require(try files(folder).first { $0.hasSuffix(".lock") })
        unlink("\(folder.path)/daypass/\(name)")
        let new = try lock(second)
        guard case .busy = first.lock() else { throw CacheFailure(words: "two have the lock") }
        withExtendedLifetime((old, new)) {}
    }

    @Test func `is in nobody's way who asks for another`() throws {
        let folder = try TemporaryFolder()
        let (first, second) = (try cache(folder, "key"), try cache(folder, "another"))
        let held = try lock(first)
        _ = try lock(second)
        withExtendedLifetime(held) {}
    }

    @Test func `is in no folder that others have access to, nor behind a link`() throws {
        let folder = try TemporaryFolder()
        _ = try cache(folder)
        let path = "\(folder.path)/daypass"
        chmod(path, 0o750)
        #expect(throws: CacheFailure.self) { try cache(folder) }
        chmod(path, 0o700)
        rename(path, "\(path)2")
        symlink("\(path)2", path)
        #expect(throws: CacheFailure.self) { try cache(folder) }
    }

    @Test func `of somebody killed while he wrote does not matter to the next`() throws {
        let folder = try TemporaryFolder()
        let cache = try cache(folder)
        let half = "\(folder.path)/daypass/\(Fingerprint.hexadecimal(of: "key".utf8)).new"
        try Data(#"{"version":1,"access_token":"half"#.utf8).write(to: URL(filePath: half))
        #expect(try cache.entry() == nil)
        try cache.keep(held(), lock(cache))
        #expect(try cache.entry()?.held == held())
        #expect(try files(folder).allSatisfy { !$0.hasSuffix(".new") })
    }

    @Test func `has one writer at a time, until the lock goes`() throws {
        let folder = try TemporaryFolder()
        let (first, second) = (try cache(folder), try cache(folder))
        var lock: TokenCache.Lock? = try lock(first)
        guard case .busy = second.lock() else { throw CacheFailure(words: "two have the lock") }
        withExtendedLifetime(lock) {}
        lock = nil
        _ = try self.lock(second)
    }

    @Test func `that was checked stays the newer one where another took its place`() throws {
        let folder = try TemporaryFolder()
        let cache = try cache(folder)
        try cache.keep(held(), lock(cache))
        let old = try #require(try cache.entry())
        old.markChecked(at: Self.now + 5000)
        #expect(try cache.entry()?.checked == Self.now + 5000)
        try cache.keep(held("d.e.f", at: Self.now + 6000), lock(cache))
        old.markChecked(at: Self.now + 9000)
        let entry = try #require(try cache.entry())
        #expect(entry.held.token == TokenText("d.e.f") && entry.checked == Self.now + 6000)
        // Nor does who discards the old one take the new one away.
        try cache.discard(old.held.token, lock(cache))
        #expect(try cache.entry() != nil)
        try cache.discard(entry.held.token, lock(cache))
        #expect(try cache.entry() == nil)
    }

    @Test func `that ended long ago is swept up, and a younger one not`() throws {
        let folder = try TemporaryFolder()
        for (key, age) in [("a", 26), ("b", 24), ("key", 0)] {
            let cache = try cache(folder, key)
            try cache.keep(held(at: Self.now - Int64(age) * 3_600_000), lock(cache))
        }
        #expect(try cache(folder, "a").entry() == nil)
        #expect(try cache(folder, "b").entry() != nil)
    }

    @Test func `has nothing left where the clock was set back since it came`() throws {
        let held = try held()
        #expect(held.left(at: Self.now) == .seconds(900))
        #expect(held.left(at: Self.now - 3_600_000) == .zero)
        #expect(held.left(at: Self.now + 900_000) == .zero)
    }
}
