import ArgumentParser
import Testing

@testable import DaypassCommand

/// The arguments of `daypass token`, which are read without the parser where they have their usual form.
@Suite("The arguments of daypass token") struct PrintedTokenTests {
    @Test(arguments: [
        [], ["--json"], ["--header"], ["--url", "https://daypass.example.com"], ["--url=https://daypass.example.com"],
        ["--identity", "x509:svid.pem,svid.key", "--audience", "a=b", "--rule", "ci-main", "--ca-file", "/a b"],
        ["--scope", "a", "--scope=b", "--scope", "c d", "--min-ttl", "10m"], ["--min-ttl=0s", "--json"],
    ]) func `mean what the parser makes of them`(arguments: [String]) throws {
        let read = try #require(PrintedToken(parsing: ["token"] + arguments))
        #expect(try read == TokenCommand.parse(arguments).printed)
    }

    @Test func `are known without the parser, all of them`() throws {
        let words = TokenCommand.helpMessage(columns: 500).split { !$0.isLowercase && $0 != "-" }
        let options = Set(words.filter { $0.hasPrefix("--") }.map(String.init)).subtracting(["--help"])
        #expect(options.isSuperset(of: ["--url", "--min-ttl", "--json"]))
        for option in options {
            let isKnown = [["token", option], ["token", option, "10m"]].contains { PrintedToken(parsing: $0) != nil }
            #expect(isKnown, "\(option)")
        }
    }

    @Test(arguments: [
        [], ["tokens"], ["exec"], ["--url", "https://daypass.example.com", "token"], ["token", "--help"],
        ["token", "-h"],
        ["token", "--json", "--header"], ["token", "--json", "--json"], ["token", "--json=yes"], ["token", "--url"],
        ["token", "--url", ""], ["token", "--url="], ["token", "--url", "--json"], ["token", "--rule", "-x"],
        ["token", "--rule", "a", "--rule", "b"], ["token", "file:x"], ["token", "--"], ["token", "--min-ttl", "1d"],
        ["token", "--identity", "github", "--nonsense", "x"], ["token", "--Url", "x"], ["token", "-", "x"],
    ]) func `are the parser's where they are not plain`(arguments: [String]) {
        #expect(PrintedToken(parsing: arguments) == nil)
    }
}
