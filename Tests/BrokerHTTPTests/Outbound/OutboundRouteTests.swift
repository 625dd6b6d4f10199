import Broker
import Synchronization
import Testing

@testable import BrokerHTTP

@Suite(.timeLimit(.minutes(1))) struct OutboundRouteTests {
    /// Answers without any network, and notes which address was asked for what.
    private final class Scripted: OutboundTransport {
        let asked = Mutex<[String]>([])
        private let answers: [String: OutboundAnswer]

        init(_ answers: [String: OutboundAnswer]) {
            self.answers = answers
        }

        func answer(
            from url: OutboundURL, at address: IPAddress, connectTimeout: Duration
        ) async throws(OutboundFailure) -> OutboundAnswer {
            asked.withLock { $0.append("\(url) at \(address.text)") }
            guard let answer = answers[url.description] else { throw .refused(.status(url, 404)) }
            return answer
        }

        func check(redirectTo target: OutboundURL, from url: OutboundURL) throws(FetchFailure) {}
    }

    private func refusal(
        _ transport: Scripted, resolver: StubResolver, allowsPrivateAddresses: Bool = false
    ) async throws -> FetchFailure? {
        let route = OutboundRoute(
            addressGuard: AddressGuard(resolver: resolver), allowsPrivateAddresses: allowsPrivateAddresses,
            transport: transport)
        do {
            _ = try await route.document(
                at: OutboundURL(parsing: "https://a.example/"), before: .now + .seconds(60))
            return nil
        } catch let failure as FetchFailure {
            return failure
        }
    }

    @Test(arguments: ["169.254.169.254", "127.0.0.1", "10.0.0.1", "[::1]", "[fe80::1]", "internal.example"])
    func `a redirect to a private address is refused without a connection there`(host: String) async throws {
        let transport = Scripted(["https://a.example/": .redirect("https://\(host)/")])
        let resolver = StubResolver(["a.example": [["8.8.8.8"]], "internal.example": [["1.1.1.1", "10.0.0.1"]]])
        let failure = try await refusal(transport, resolver: resolver)
        let url = try OutboundURL(parsing: "https://\(host)/")
        guard case .privateAddress(url, _) = failure else {
            Issue.record("\(failure as Any)")
            return
        }
        #expect(transport.asked.withLock { $0 } == ["https://a.example/ at 8.8.8.8"])
    }

    @Test func `another host is followed where the transport allows it, and not at a private address`() async throws {
        let transport = Scripted([
            "https://a.example/": .redirect("https://b.example/x"),
            "https://b.example/x": .document(FetchedDocument(body: [], maximumAge: nil)),
        ])
        let privately = StubResolver(["a.example": [["10.0.0.1"]], "b.example": [["10.0.0.1"]]])
        let failure = try await refusal(transport, resolver: privately, allowsPrivateAddresses: true)
        #expect(failure?.description.contains("https://b.example/x leads to 10.0.0.1") == true)
        #expect(transport.asked.withLock { $0 } == ["https://a.example/ at 10.0.0.1"])
        let publicly = StubResolver(["a.example": [["10.0.0.1"]], "b.example": [["8.8.8.8"]]])
        #expect(try await refusal(transport, resolver: publicly, allowsPrivateAddresses: true) == nil)
        #expect(transport.asked.withLock { $0.last } == "https://b.example/x at 8.8.8.8")
    }

    @Test func `a name that leads somewhere else by the time of the redirect is checked again`() async throws {
        let transport = Scripted(["https://a.example/": .redirect("/next")])
        let resolver = StubResolver(["a.example": [["8.8.8.8"], ["192.168.0.1"]]])
        let failure = try await refusal(transport, resolver: resolver)
        #expect(failure?.description.contains("https://a.example/next leads to 192.168.0.1") == true)
        #expect(transport.asked.withLock { $0.count } == 1)
    }
}
