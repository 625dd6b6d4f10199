import Broker
import BrokerHTTP
import Testing

@Suite struct AddressGuardTests {
    private func addresses(
        of url: String, allowsPrivateAddresses: Bool = false, _ answers: [String: [[String]]] = [:]
    ) async throws -> [IPAddress] {
        try await AddressGuard(resolver: StubResolver(answers)).addresses(
            of: OutboundURL(parsing: url), allowsPrivateAddresses: allowsPrivateAddresses)
    }

    @Test func `a name with public addresses is given all of them in order`() async throws {
        let found = try await addresses(
            of: "https://a.example/", ["a.example": [["2606:4700::1111", "1.1.1.1", "8.8.8.8"]]])
        #expect(found == ["2606:4700::1111", "1.1.1.1", "8.8.8.8"].compactMap(IPAddress.init(parsing:)))
    }

    @Test(arguments: [
        "127.0.0.1", "0.0.0.0", "10.1.2.3", "100.64.0.1", "169.254.169.254", "172.31.255.255", "192.168.1.1",
        "192.0.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255",
        "::", "::1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::7f00:1", "64:ff9b::7f00:1", "64:ff9b::808:808",
        "fc00::1", "fd00:ec2::254", "fe80::1", "ff02::1", "2002:7f00:1::", "2001::1", "2001:db8::1",
    ])
    func `an address that is not public is refused, literal or resolved, alone or beside a public one`(
        text: String
    ) async throws {
        let address = try #require(IPAddress(parsing: text))
        let literal = try OutboundURL(parsing: "https://\(address.isIPv6 ? "[\(text)]" : text)/")
        await #expect(throws: FetchFailure.privateAddress(literal, address)) {
            try await addresses(of: literal.description)
        }
        let named = try OutboundURL(parsing: "https://a.example/")
        for answer in [[text], ["8.8.8.8", text], [text, "8.8.8.8"], ["2606:4700::1111", "8.8.8.8", text]] {
            await #expect(throws: FetchFailure.privateAddress(named, address)) {
                try await addresses(of: named.description, ["a.example": [answer]])
            }
        }
        #expect(try await addresses(of: literal.description, allowsPrivateAddresses: true) == [address])
    }

    @Test func `the refusal names the address`() async throws {
        let failure = await #expect(throws: FetchFailure.self) {
            try await addresses(of: "https://a.example/", ["a.example": [["8.8.8.8", "169.254.169.254"]]])
        }
        #expect(failure?.description.contains("https://a.example/ leads to 169.254.169.254") == true)
    }

    @Test func `plain http is refused without a look-up unless private addresses are allowed`() async throws {
        let resolver = StubResolver(["a.example": [["127.0.0.1"]]])
        let url = try OutboundURL(parsing: "http://a.example/")
        await #expect(throws: FetchFailure.plainHTTP(url)) {
            try await AddressGuard(resolver: resolver).addresses(of: url, allowsPrivateAddresses: false)
        }
        #expect(resolver.calls.isEmpty)
    }

    @Test(arguments: [
        ["10.0.0.1"], ["8.8.8.8"], ["127.0.0.1", "10.0.0.1"], ["::ffff:127.0.0.1"], ["0.0.0.0"], ["::"],
    ])
    func `plain http goes to loopback and nowhere else`(answer: [String]) async throws {
        let url = try OutboundURL(parsing: "http://a.example/")
        await #expect(throws: FetchFailure.plainHTTP(url)) {
            try await addresses(of: url.description, allowsPrivateAddresses: true, ["a.example": [answer]])
        }
        let loopback = try await addresses(
            of: url.description, allowsPrivateAddresses: true, ["a.example": [["::1", "127.8.9.10"]]])
        #expect(loopback.count == 2)
    }

    @Test(arguments: [false, true])
    func `a name without an address is refused`(allowsPrivateAddresses: Bool) async throws {
        for answers in [[:], ["a.example": [[]]]] as [[String: [[String]]]] {
            await #expect(throws: FetchFailure.self) {
                try await addresses(
                    of: "https://a.example/", allowsPrivateAddresses: allowsPrivateAddresses, answers)
            }
        }
    }
}

@Suite struct SystemResolverTests {
    @Test func `localhost is loopback`() async throws {
        let addresses = try await SystemResolver().addresses(of: "localhost")
        #expect(!addresses.isEmpty && addresses.allSatisfy(\.isLoopback))
    }

    @Test func `more look-ups than threads are all answered`() async throws {
        let resolver = SystemResolver()
        let answered = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<100 {
                group.addTask { (try? await resolver.addresses(of: "localhost"))?.isEmpty == false }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(answered == 100)
    }

    @Test func `a look-up of a cancelled task fails`() async {
        let task = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            return try await SystemResolver().addresses(of: "localhost")
        }
        await #expect(throws: ResolutionFailure("the look-up took too long")) { try await task.value }
    }
}
