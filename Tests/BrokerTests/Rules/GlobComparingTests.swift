import Broker
import JOSE
import Testing

@Suite struct `Comparing patterns` {
    @Test(
        arguments: [
            ("a", "a"), ("*", "a"), ("*", "*"), ("**", "*"), ("**", "a/*:b"), ("a*", "ab*"), ("a*", "a"),
            ("*a*", "*ba"),
            ("refs/heads/*", "refs/heads/main"), ("refs/**", "refs/heads/*"), ("refs/*/*", "refs/heads/*"),
            ("**/main", "refs/heads/main"), ("**", "**"), ("*b*", "*b*c*"),
            (#"a\*"#, #"a\*"#), ("a*", #"a\*"#), ("**:*", "a:b:*"),
        ])
    func `one that matches all that another matches covers it`(wide: String, narrow: String) throws {
        #expect(try Glob(parsing: wide).covers(Glob(parsing: narrow)))
    }

    @Test(
        arguments: [
            ("a", "b"), ("a", "*"), ("*", "**"), ("*", "a/b"), ("a*", "*"), ("refs/*", "refs/**"),
            ("refs/heads/*", "refs/*/main"), ("refs/*", "refs/heads/main"), (#"a\*"#, "a*"), ("*a", "*a*"),
            ("*:*", "a*"), ("a*b", "a*"),
        ])
    func `one that misses something does not`(wide: String, narrow: String) throws {
        #expect(try !Glob(parsing: wide).covers(Glob(parsing: narrow)))
    }

    /// The claim that the lint stands on: whatever it calls covered is.
    @Test func `no text matches the covered pattern and not the covering one`() throws {
        var generator = Counter(state: 4)
        let parts = ["a", "b", "/", ":", "*", "**"]
        func text(_ parts: [String], _ length: ClosedRange<Int>) -> String {
            (0..<Int.random(in: length, using: &generator)).map { _ in parts.randomElement(using: &generator) ?? "a" }
                .joined()
        }
        var covered = 0
        for _ in 0..<20_000 {
            guard let wide = try? Glob(parsing: text(parts, 1...5)),
                let narrow = try? Glob(parsing: text(parts, 1...5)),
                wide.covers(narrow)
            else { continue }
            covered += 1
            for _ in 0..<20 {
                let candidate = ExactString(text(Array(parts.prefix(4)), 0...6))
                if narrow.matches(candidate) {
                    #expect(wide.matches(candidate), "\(wide.pattern) over \(narrow.pattern): \(candidate)")
                }
            }
        }
        #expect(covered > 500, "some have to be covered")
    }

    @Test(
        arguments: [
            ("refs/heads/*", "refs/", true), ("refs/heads/main", "refs/", true), ("**", "refs/", true),
            ("**/main", "refs/heads/", true), ("*", "refs/", false), ("main", "refs/", false), ("refs", "refs/", false),
            ("*/x", "refs/", true), ("ref*", "refs/", false), ("r**", "refs/", true), ("a*", "", true),
        ])
    func `whether a text that matches may begin so`(pattern: String, prefix: String, can: Bool) throws {
        #expect(try Glob(parsing: pattern).canBegin(with: ExactString(prefix)) == can)
    }

    @Test func `what a pattern demands at least`() throws {
        #expect(try Glob(parsing: "a*b**").minimumLength == 2)
        #expect(try Glob(parsing: #"\**"#).literalBytes == [UInt8(ascii: "*")])
        #expect(try Glob(parsing: "**").matchesEverything)
        #expect(try !Glob(parsing: "*").matchesEverything)
        #expect(try !Glob(parsing: "**a").matchesEverything)
        for (pattern, isBare) in [("*", true), ("**", true), ("*/*", true), ("*:**", true), ("a*", false)] {
            #expect(try Glob(parsing: pattern).isBare == isBare, "\(pattern)")
        }
        #expect(try Glob(parsing: "a").onlyText == "a")
        #expect(try Glob(parsing: "a*").onlyText == nil)
    }

    @Test func `two spellings of a path are one claim`() throws {
        func path(_ text: String) throws -> ClaimPath { try #require(ClaimPath(parsing: text)) }
        #expect(try path("/ref").canonical == path("ref").canonical)
        #expect(try path("/ref").isSame(as: path("ref")))
        #expect(try path("a/b").canonical == path("/a~1b").canonical)
        #expect(try path("/a/b").canonical != path("a/b").canonical)
        #expect(try path("/a/b").isNested)
        #expect(try !path("a/b").isNested)
    }
}
