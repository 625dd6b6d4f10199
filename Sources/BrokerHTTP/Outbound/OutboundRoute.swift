import Broker

/// The way from a URL to its document, however it is asked for: addresses are checked, tried one after another, redirects
/// followed, and all of it ends at a deadline.
///
/// Where a request goes is decided by `AddressGuard`, anew for each redirect, and the connection goes to the address that
/// was checked. Nothing is kept between two documents: no connection, no redirect.
struct OutboundRoute<Transport: OutboundTransport>: Sendable {
    let addressGuard: AddressGuard
    /// Of the first URL's host: a redirect does not take this along to another.
    let allowsPrivateAddresses: Bool
    let transport: Transport

    /// - Throws: at the deadline at the latest, and promptly when the task is cancelled.
    func document(
        at url: OutboundURL, before deadline: ContinuousClock.Instant
    ) async throws(FetchFailure) -> FetchedDocument {
        let outcome = await withTaskGroup(of: Result<FetchedDocument, FetchFailure>.self) { group in
            group.addTask { await follow(url, deadline) }
            group.addTask {
                try? await Task.sleep(until: deadline, clock: .continuous)
                return .failure(.deadline(url))
            }
            defer { group.cancelAll() }
            return await group.next()
        }
        return try (outcome ?? .failure(.deadline(url))).get()
    }

    private func follow(
        _ url: OutboundURL, _ deadline: ContinuousClock.Instant
    ) async -> Result<FetchedDocument, FetchFailure> {
        do throws(FetchFailure) {
            var current = url
            for _ in 0...GuardedFetcher.maximumRedirects {
                let addresses = try await addressGuard.addresses(
                    of: current, allowsPrivateAddresses: allowsPrivateAddresses && current.host == url.host)
                let answer = try await request(
                    current, at: addresses.prefix(GuardedFetcher.maximumAddresses), before: deadline)
                switch answer {
                case .document(let document): return .success(document)
                case .redirect(let location): current = try target(of: location, from: current)
                }
            }
            throw .tooManyRedirects(url)
        } catch {
            return .failure(error)
        }
    }

    private func request(
        _ url: OutboundURL, at addresses: ArraySlice<IPAddress>, before deadline: ContinuousClock.Instant
    ) async throws(FetchFailure) -> OutboundAnswer {
        var failure = FetchFailure.deadline(url)
        for (index, address) in addresses.enumerated() where !Task.isCancelled {
            let remaining = ContinuousClock.now.duration(to: deadline)
            guard remaining > .zero else { throw .deadline(url) }
            // So that an address which swallows everything leaves time for the next ones; at the last one it is the
            // deadline that ends the wait.
            let isLast = index == addresses.count - 1
            let share = isLast ? remaining + .seconds(1) : remaining / (addresses.count - index)
            do throws(OutboundFailure) {
                return try await transport.answer(from: url, at: address, connectTimeout: share)
            } catch {
                switch error {
                case .notReached(let reason): failure = reason
                case .refused(let reason): throw reason
                }
            }
        }
        throw failure
    }

    private func target(of location: String, from url: OutboundURL) throws(FetchFailure) -> OutboundURL {
        guard let target = try? url.redirected(to: location) else { throw .redirect(from: url, to: nil) }
        try transport.check(redirectTo: target, from: url)
        return target
    }
}

/// A way of asking for a document over a connection of its own to an address that was checked.
protocol OutboundTransport: Sendable {
    /// One request. Suspends until the whole body is there, however long that takes. Ends promptly, with any failure, when the
    /// task is cancelled.
    func answer(
        from url: OutboundURL, at address: IPAddress, connectTimeout: Duration
    ) async throws(OutboundFailure) -> OutboundAnswer

    /// - Throws: unless whoever answers for `url` may also send us to `target`.
    func check(redirectTo target: OutboundURL, from url: OutboundURL) throws(FetchFailure)
}

enum OutboundFailure: Error {
    /// There was no answer: the host may still answer at another address.
    case notReached(FetchFailure)
    case refused(FetchFailure)
}

enum OutboundAnswer: Sendable {
    case document(FetchedDocument)
    /// To the value of the `Location` field.
    case redirect(String)
}
