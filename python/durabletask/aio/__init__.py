"""The client for asyncio."""

from durabletask.aio.client import AsyncTaskHubGrpcClient

__all__ = ["AsyncTaskHubGrpcClient"]
