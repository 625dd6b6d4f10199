import Broker
import JOSE
import Testing

@Suite struct ClaimPathTests {
    /// RFC 6901 §5, but for the empty pointer, which is no claim.
    private static let document: JSONObject = [
        "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8,
    ]

    private static let examples: [(String, JSONValue)] = [
        ("/foo", ["bar", "baz"] as JSONValue), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2), ("/e^f", 3),
        ("/g|h", 4), ("/i\\j", 5), ("/k\"l", 6), ("/ ", 7), ("/m~0n", 8),
    ]

    @Test(arguments: examples)
    func `the examples of RFC 6901 lead where it says`(pointer: String, value: JSONValue) throws {
        #expect(try #require(ClaimPath(parsing: pointer)).value(in: Self.document) == value)
    }

    private static let names: [(String, JSONValue)] = [
        ("oidc.circleci.com/project-id", "p" as JSONValue), ("/oidc.circleci.com~1project-id", "p"),
        ("kubernetes.io", ["namespace": "ml", "pod": ["name": "x"]]), ("/kubernetes.io/namespace", "ml"),
        ("/kubernetes.io/pod/name", "x"), ("a~1b", "literal"), ("/~01", "tilde"), ("~", "bare"),
    ]

    @Test(arguments: names)
    func `a name without a slash in front is taken to the letter`(path: String, value: JSONValue) throws {
        let claims: JSONObject = [
            "oidc.circleci.com/project-id": "p", "kubernetes.io": ["namespace": "ml", "pod": ["name": "x"]],
            "a~1b": "literal", "~1": "tilde", "~": "bare",
        ]
        #expect(try #require(ClaimPath(parsing: path)).value(in: claims) == value)
    }

    @Test(arguments: ["", "/~", "/~2", "/a~", "/a/~x", "/a~~0", String(repeating: "a", count: 257)])
    func `what is no path is refused`(text: String) {
        #expect(ClaimPath(parsing: text) == nil)
    }

    @Test(arguments: [
        "/foo/2", "/foo/-", "/foo/00", "/foo/01", "/foo/+1", "/foo/-1", "/foo/1e0", "/foo/0x0", "/foo/ 0", "/foo/",
        "/foo/99999999999999999999", "/foo/\u{661}", "/foo/bar", "/foo/0/0", "/nowhere", "/foo/0/", "foo/0", "bar",
        "/c%25d",
        "//foo",
    ])
    func `a path that leads nowhere has no value`(path: String) throws {
        #expect(try #require(ClaimPath(parsing: path)).value(in: Self.document) == nil)
    }

    @Test func `names are compared by bytes`() throws {
        let claims: JSONObject = ["caf\u{E9}": 1]
        #expect(try #require(ClaimPath(parsing: "caf\u{E9}")).value(in: claims) == 1)
        #expect(try #require(ClaimPath(parsing: "cafe\u{301}")).value(in: claims) == nil)
    }

    @Test(arguments: [
        ("a", "a", true), ("/a", "a", true), ("/a~1b", "a/b", true), ("/a/b", "a/b", false), ("a/b", "/a/b", false),
        ("a", "b", false), ("/a/0", "/a", false), ("/", "/", true), ("a~1b", "a/b", false),
    ])
    func `two spellings of one path are the same path`(path: String, other: ExactString, areSame: Bool) throws {
        #expect(try #require(ClaimPath(parsing: path)).isSame(as: other) == areSame)
    }

    @Test(arguments: [("sub", "sub" as ExactString), ("/kubernetes.io/pod/name", "kubernetes.io"), ("/a~1b/c", "a/b")])
    func `a path names the claim at the top that it starts from`(path: String, top: ExactString) throws {
        #expect(try #require(ClaimPath(parsing: path)).topLevelName == top)
    }
}
