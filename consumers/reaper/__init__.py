"""The reaper: acts for those who cannot, because they are gone."""

from consumers.reaper.reaper import ReaperPool

pool = ReaperPool()
