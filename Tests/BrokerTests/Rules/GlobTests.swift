import Broker
import JOSE
import Testing

@Suite struct GlobTests {
    @Test(arguments: [
        ("main", "main", true), ("main", "mai", false), ("main", "mainn", false), ("main", "Main", false),
        ("main", "", false), ("*", "", true), ("*", "main", true), ("**", "", true), ("**", "a/b:c", true),
        ("*", "a/b", false), ("*", "a:b", false), ("*", "/", false), ("*", ":", false),
        ("refs/heads/*", "refs/heads/main", true), ("refs/heads/*", "refs/heads/", true),
        ("refs/heads/*", "refs/heads/a/b", false), ("refs/heads/**", "refs/heads/a/b", true),
        ("refs/heads/*", "xrefs/heads/main", false), ("refs/heads/*", "refs/heads", false),
        ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:ref:refs/heads/main", true),
        ("repo:acme/*:ref:refs/heads/main", "repo:acme/app:x:ref:refs/heads/main", false),
        ("repo:acme/*:**", "repo:acme/app:environment:prod", true),
        ("acme/app/.github/workflows/*.yml@refs/heads/main", "acme/app/.github/workflows/ci.yml@refs/heads/main", true),
        (
            "acme/app/.github/workflows/*.yml@refs/heads/main", "acme/app/.github/workflows/x/ci.yml@refs/heads/main",
            false
        ),
        (
            "acme/app/.github/workflows/*.yml@refs/heads/main", "acme/app/.github/workflows/ciXyml@refs/heads/main",
            false
        ),
        ("a*b*c", "abc", true), ("a*b*c", "axxbyyc", true), ("a*b*c", "axxbyy", false), ("a*b*c", "abcabc", true),
        ("*a", "aaaa", true), ("*ab", "aab", true), ("**/x", "a/b/x", true), ("**/x", "x", false),
        ("a**", "a", true), ("a**b", "a/:b", true), ("a**b*c", "a/b/bxc", true), ("a**b*c", "a/bx/c", false),
        (#"\*"#, "*", true), (#"\*"#, "a", false), (#"\\"#, #"\"#, true), (#"\\*"#, #"\a"#, true),
        (#"a\*b"#, "axb", false),
        (#"\**"#, "*ab", true), (#"\**"#, "ab", false),
        (".", "x", false), ("a.c", "abc", false), ("a|b", "a", false), ("a|b", "a|b", true), ("[ab]", "a", false),
        ("?", "x", false), ("^a$", "a", false), ("(a)", "a", false), ("{a,b}", "a", false),
    ])
    func `a pattern spans the whole text, and nothing but stars is special`(
        pattern: String, text: String, matches: Bool
    ) throws {
        #expect(try Glob(parsing: pattern).matches(ExactString(text)) == matches)
    }

    @Test(arguments: ["main\n", "\nmain", "main\nother", "main\r", "main\0", "main ", "ma\u{200B}in"])
    func `a value with a line break or an invisible character is not the value without it`(text: String) throws {
        #expect(try !Glob(parsing: "main").matches(ExactString(text)))
        #expect(try !Glob(parsing: "refs/*/main").matches(ExactString("refs/heads/\(text)")))
    }

    @Test func `text is compared by bytes, not by canonical equivalence`() throws {
        let (composed, decomposed) = ("caf\u{E9}", "cafe\u{301}")
        #expect(composed == decomposed, "Swift takes them for equal, which is the trap")
        for pattern in [composed, "\(composed)*", "*\(composed)", "**\(composed)**"] {
            #expect(try Glob(parsing: pattern).matches(ExactString(composed)))
            #expect(try !Glob(parsing: pattern).matches(ExactString(decomposed)))
        }
    }

    @Test func `a star takes characters of several bytes, and fullwidth separators are none`() throws {
        #expect(try Glob(parsing: "a*z").matches("a\u{1F600}\u{E9}\u{FF0F}\u{FF1A}z"))
        #expect(try Glob(parsing: "\u{1F600}*").matches("\u{1F600}x"))
        #expect(try !Glob(parsing: "\u{1F600}").matches("\u{1F601}"))
    }

    @Test(arguments: [
        ("", GlobFailure.empty), (#"\"#, .escape), (#"a\"#, .escape), (#"\a"#, .escape), (#"\/"#, .escape),
        ("***", .stars), ("a****b", .stars), (String(repeating: "a", count: 513), .tooLong),
        (String(repeating: "\u{E9}", count: 257), .tooLong),
    ])
    func `text that is no pattern is refused with the reason`(text: String, failure: GlobFailure) {
        #expect(throws: failure) { try Glob(parsing: text) }
    }

    @Test func `the longest pattern is accepted and matches itself`() throws {
        let text = String(repeating: "a", count: Glob.maximumLength)
        #expect(try Glob(parsing: text).matches(ExactString(text)))
    }

    @Test(arguments: [("main", false), (#"\*"#, false), (#"a\\b"#, false), ("*", true), ("a**", true), (#"\**"#, true)])
    func `only a star that is not escaped is a wildcard`(pattern: String, isWild: Bool) throws {
        #expect(try Glob(parsing: pattern).hasWildcard == isWild)
    }

    @Test func `text beyond the limit matches no wildcard, and a literal only itself`() throws {
        let long = ExactString(String(repeating: "a", count: Glob.maximumTextLength + 1))
        let longest = ExactString(String(repeating: "a", count: Glob.maximumTextLength))
        #expect(try !Glob(parsing: "**").matches(long))
        #expect(try Glob(parsing: "**").matches(longest))
        #expect(try !Glob(parsing: "a").matches(long))
    }

    /// A matcher that backtracks would take longer than the universe is old.
    @Test(arguments: ["a*", "a**", "*a", "**a"])
    func `the worst patterns finish on the longest text`(unit: String) throws {
        let pattern = String(repeating: unit, count: (Glob.maximumLength - 1) / unit.utf8.count) + "b"
        let text = ExactString(String(repeating: "a", count: Glob.maximumTextLength))
        #expect(try !Glob(parsing: pattern).matches(text))
    }

    @Test func `it agrees with an independent reference on random short inputs`() throws {
        var generator = Counter(state: 20_270_115)
        var matched = 0
        for _ in 0..<40_000 {
            let pattern = text(below: 7, from: "aab/:**\\", &generator)
            let text = text(below: 8, from: "aaab/:*\\", &generator)
            guard let glob = try? Glob(parsing: pattern) else { continue }
            let expected = Self.reference(Array(pattern.utf8)[...], Array(text.utf8)[...])
            matched += expected ? 1 : 0
            #expect(glob.matches(ExactString(text)) == expected, "\(pattern) over \(text)")
        }
        #expect(matched > 500, "the inputs have to be able to match")
    }

    /// The definition, word for word, by trying every split.
    private static func reference(_ pattern: ArraySlice<UInt8>, _ text: ArraySlice<UInt8>) -> Bool {
        guard let first = pattern.first else { return text.isEmpty }
        let star = UInt8(ascii: "*")
        if first == UInt8(ascii: "\\") {
            let rest = pattern.dropFirst()
            return text.first == rest.first && reference(rest.dropFirst(), text.dropFirst())
        }
        guard first == star else { return text.first == first && reference(pattern.dropFirst(), text.dropFirst()) }
        let isDouble = pattern.dropFirst().first == star
        let rest = pattern.dropFirst(isDouble ? 2 : 1)
        for taken in 0...text.count {
            let run = text.prefix(taken)
            if !isDouble, run.contains(where: { $0 == UInt8(ascii: "/") || $0 == UInt8(ascii: ":") }) { return false }
            if reference(rest, text.dropFirst(taken)) { return true }
        }
        return false
    }

    private func text(below count: Int, from alphabet: String, _ generator: inout Counter) -> String {
        let characters = Array(alphabet)
        return String(
            (0..<Int.random(in: 0..<count, using: &generator)).map { _ in
                characters[Int.random(in: 0..<characters.count, using: &generator)]
            })
    }
}

/// A generator that gives the same numbers in every run (SplitMix64).
struct Counter: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
