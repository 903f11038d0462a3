from pathlib import Path

import pytest

from slipway.scoring.config import ConfigError, from_environment


def test_when_little_is_set_then_the_defaults_are_azure_ml_v1s() -> None:
    config = from_environment({"AZUREML_ENTRY_SCRIPT": "sub/score.py"})
    assert config.script == Path("/var/azureml-app/sub/score.py")
    assert (config.host, config.port) == ("127.0.0.1", 5001)
    assert (config.max_concurrent_requests, config.scoring_timeout_ms) == (1, 60_000)


def test_when_all_is_wrong_then_all_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        from_environment(
            {
                "PORT": "65536",
                "SCORING_TIMEOUT_MS": "1.5",
                "REPLICA_MAX_CONCURRENT_REQUESTS": "²",
                "AZUREML_LOG_LEVEL": "loud",
            }
        )
    assert str(caught.value).splitlines() == [
        "AZUREML_ENTRY_SCRIPT is not set; it names the entry script, relative to AML_APP_ROOT",
        "AZUREML_LOG_LEVEL = 'LOUD', must be one of CRITICAL, ERROR, WARNING, INFO, DEBUG",
        "PORT = '65536', must be a whole number in [0, 65535]",
        "REPLICA_MAX_CONCURRENT_REQUESTS = '²', must be a whole number in [1, 1000]",
        "SCORING_TIMEOUT_MS = '1.5', must be a whole number in [1, 3600000]",
    ]
